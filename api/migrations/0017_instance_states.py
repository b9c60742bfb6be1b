"""Keep with each instance what its newest events and facts say (spec 11 §3); additive.

The columns are filled a few thousand instances at a time. Instances that the previous version
touches afterwards are put right when their runs are recalculated next, within the hour.
"""

from typing import Any

from django.db import migrations, models

from util.migrations import alter_table, build_index, fill_in_chunks

ADD = """
ALTER TABLE api_instance
    ADD COLUMN IF NOT EXISTS power_state varchar(8),
    ADD COLUMN IF NOT EXISTS power_changed_at timestamptz,
    ADD COLUMN IF NOT EXISTS instance_type varchar(64),
    ADD COLUMN IF NOT EXISTS usage_operation text,
    ADD COLUMN IF NOT EXISTS product_codes jsonb,
    ADD COLUMN IF NOT EXISTS licenses jsonb,
    ADD COLUMN IF NOT EXISTS cloud_image jsonb
"""

INDEX = """
CREATE INDEX CONCURRENTLY instance_listed ON api_instance
    (cloud_account_id, region, instance_type, power_state, machine_image_id)
"""

RANK = """CASE source_name WHEN 'RunInstances' THEN 0 WHEN 'TerminateInstances' THEN 2
    WHEN 'TerminateInstanceInAutoScalingGroup' THEN 2 ELSE 1 END"""

FILL = f"""
UPDATE api_instance instance
SET power_state = CASE power.event_type WHEN 'power_on' THEN 'running'
                                        WHEN 'power_off' THEN 'stopped' END,
    power_changed_at = power.occurred_at,
    instance_type = coalesce(typed.instance_type, fact.instance_type),
    usage_operation = fact.usage_operation,
    product_codes = fact.product_codes,
    licenses = fact.licenses,
    cloud_image = fact.image
FROM api_instance chunk
LEFT JOIN LATERAL (
    SELECT event_type, occurred_at FROM api_instanceevent
    WHERE instance_id = chunk.id AND event_type IN ('power_on', 'power_off')
    ORDER BY occurred_at DESC, {RANK} DESC, id DESC LIMIT 1
) power ON true
LEFT JOIN LATERAL (
    SELECT instance_type FROM api_instanceevent
    WHERE instance_id = chunk.id AND instance_type IS NOT NULL
    ORDER BY occurred_at DESC, {RANK} DESC, id DESC LIMIT 1
) typed ON true
LEFT JOIN LATERAL (
    SELECT * FROM api_instancefact
    WHERE instance_id = chunk.id ORDER BY observed_at DESC, id DESC LIMIT 1
) fact ON true
WHERE chunk.id > %s AND chunk.id <= %s AND instance.id = chunk.id
"""


def change_table(apps: Any, schema_editor: Any) -> None:
    """Add the columns that are not there yet, fill and index them; may be repeated."""
    connection = schema_editor.connection
    alter_table(connection, ADD)
    fill(connection)
    build_index(connection, name="instance_listed", statement=INDEX)


def fill(connection: Any) -> None:
    """Fill the columns of all instances, chunk by chunk."""
    fill_in_chunks(connection, "api_instance", FILL)


class Migration(migrations.Migration):
    """Add the columns of ``Instance`` by which lists are filtered."""

    atomic = False

    dependencies = [("api", "0016_outbox")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(change_table, migrations.RunPython.noop)],
            state_operations=[
                migrations.AddField(
                    model_name="instance",
                    name="power_state",
                    field=models.CharField(choices=[("running", "Running"), ("stopped", "Stopped")], help_text="null: no power event known", max_length=8, null=True),
                ),
                migrations.AddField(
                    model_name="instance",
                    name="power_changed_at",
                    field=models.DateTimeField(help_text="of the newest power event", null=True),
                ),
                migrations.AddField(
                    model_name="instance",
                    name="instance_type",
                    field=models.CharField(help_text="of the newest event that tells one, else of a fact", max_length=64, null=True),
                ),
                migrations.AddField(
                    model_name="instance",
                    name="usage_operation",
                    field=models.TextField(help_text="of the newest fact; null: that of the image", null=True),
                ),
                migrations.AddField(
                    model_name="instance",
                    name="product_codes",
                    field=models.JSONField(help_text="of the newest fact", null=True),
                ),
                migrations.AddField(
                    model_name="instance",
                    name="licenses",
                    field=models.JSONField(help_text="of the newest fact", null=True),
                ),
                migrations.AddField(
                    model_name="instance",
                    name="cloud_image",
                    field=models.JSONField(help_text="of the newest fact, Azure only", null=True),
                ),
                migrations.AddIndex(
                    model_name="instance",
                    index=models.Index(fields=["cloud_account", "region", "instance_type", "power_state", "machine_image"], name="instance_listed"),
                ),
            ],
        )
    ]
