"""Sums beside the counts of days, and sizes within runs (spec 11 §1); additive.

Runs get what their events and facts say of their sizes, a few thousand at a time. Those that the
previous version writes afterwards are put right when they are recalculated next, within the hour.
Days get their sums by the hourly passes.
"""

from typing import Any

from django.db import migrations, models

from util.migrations import alter_table, build_index, fill_in_chunks

ADD_TO_RUNS = """
ALTER TABLE api_run
    ADD COLUMN IF NOT EXISTS cpus integer,
    ADD COLUMN IF NOT EXISTS resizes jsonb
"""

ADD_TO_USAGE = """
ALTER TABLE api_concurrentusage
    ADD COLUMN IF NOT EXISTS sums jsonb,
    ADD COLUMN IF NOT EXISTS summed_at timestamptz
"""

INDEX = """
CREATE INDEX CONCURRENTLY concurrentusage_unsummed ON api_concurrentusage (user_id, date)
WHERE (summed_at IS NULL OR NOT (summed_at = computed_at AND summed_at IS NOT NULL))
"""

RANK = """CASE source_name WHEN 'RunInstances' THEN 0 WHEN 'TerminateInstances' THEN 2
    WHEN 'TerminateInstanceInAutoScalingGroup' THEN 2 ELSE 1 END"""

FILL_RESIZES = f"""
UPDATE api_run run SET resizes = found.resizes
FROM (
    SELECT run_id, jsonb_agg(jsonb_build_array(at, instance_type, NULL) ORDER BY at) AS resizes
    FROM (
        SELECT told.*, lag(instance_type, 1, first_type)
                           OVER (PARTITION BY run_id ORDER BY at) AS type_before
        FROM (
            SELECT DISTINCT ON (run.id, event.occurred_at)
                   run.id AS run_id, run.instance_type AS first_type, event.instance_type,
                   (extract(epoch FROM event.occurred_at) * 1000000)::bigint AS at
            FROM api_run run
            JOIN api_instanceevent event ON event.instance_id = run.instance_id
                 AND event.occurred_at > run.start_time AND event.instance_type IS NOT NULL
                 AND (event.occurred_at < run.end_time OR run.end_time IS NULL)
            WHERE run.id > %s AND run.id <= %s
            ORDER BY run.id, event.occurred_at, {RANK} DESC, event.id DESC
        ) told
    ) told
    WHERE instance_type IS DISTINCT FROM type_before
    GROUP BY run_id
) found
WHERE run.id = found.run_id
"""

# The options that were seen in the run come before those seen last before, and first after it.
FILL_CPUS = """
UPDATE api_run run SET cpus = known.cpus
FROM api_run chunk
CROSS JOIN LATERAL (
    SELECT cpu_cores * threads_per_core AS cpus
    FROM api_instancefact fact
    WHERE fact.instance_id = chunk.instance_id
      AND (fact.instance_type = chunk.instance_type OR fact.instance_type IS NULL)
      AND cpu_cores * threads_per_core IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM api_instancefact earlier
          WHERE earlier.instance_id = fact.instance_id AND earlier.observed_at < fact.observed_at
            AND earlier.instance_type <> fact.instance_type
            AND earlier.cpu_cores = fact.cpu_cores
            AND earlier.threads_per_core = fact.threads_per_core)
    ORDER BY observed_at >= chunk.start_time
                 AND observed_at <= coalesce(chunk.end_time, 'infinity') DESC,
             observed_at < chunk.start_time DESC,
             CASE WHEN observed_at < chunk.start_time THEN -1 ELSE 1 END
                 * extract(epoch FROM observed_at)
    LIMIT 1
) known
WHERE chunk.id > %s AND chunk.id <= %s AND run.id = chunk.id
"""


def change_tables(apps: Any, schema_editor: Any) -> None:
    """Add the columns that are not there yet, fill those of runs, index; may be repeated."""
    connection = schema_editor.connection
    alter_table(connection, ADD_TO_RUNS)
    alter_table(connection, ADD_TO_USAGE)
    fill(connection)
    build_index(connection, name="concurrentusage_unsummed", statement=INDEX)


def fill(connection: Any) -> None:
    """Fill the columns of all runs, chunk by chunk."""
    fill_in_chunks(connection, "api_run", FILL_RESIZES, FILL_CPUS)


class Migration(migrations.Migration):
    """Add sums to ``ConcurrentUsage`` and sizes to ``Run``."""

    atomic = False

    dependencies = [("api", "0017_instance_states")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(change_tables, migrations.RunPython.noop)],
            state_operations=[
                migrations.AddField(
                    model_name="concurrentusage",
                    name="summed_at",
                    field=models.DateTimeField(null=True),
                ),
                migrations.AddField(
                    model_name="concurrentusage",
                    name="sums",
                    field=models.JSONField(help_text="[account, arch, role, sla, usage, service_type, instance_type, cpus, seconds]", null=True),
                ),
                migrations.AddField(
                    model_name="run",
                    name="cpus",
                    field=models.IntegerField(help_text="virtual CPUs at the start by CPU options, where they are known", null=True),
                ),
                migrations.AddField(
                    model_name="run",
                    name="resizes",
                    field=models.JSONField(help_text="later types: [microseconds since 1970, type, CPUs by CPU options or null]", null=True),
                ),
                migrations.AddIndex(
                    model_name="concurrentusage",
                    index=models.Index(
                        condition=models.Q(("summed_at__isnull", True), models.Q(("summed_at", models.F("computed_at")), _negated=True), _connector="OR"),
                        fields=["user", "date"],
                        name="concurrentusage_unsummed",
                    ),
                ),
            ],
        )
    ]
