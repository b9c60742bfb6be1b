"""Tell events of one instance, type and instant by where we know them from (decision 49).

The wider constraint holds for all rows that the narrower one let in, and whatever inserts with ``ON
CONFLICT DO NOTHING`` works with either: the previous version may run on. Nothing but the exchange
of the two at the end, which takes a moment, needs the table for itself.
"""

from typing import Any

from django.db import migrations, models

from util.migrations import alter_table, build_index

NAME = "instanceevent_identity"


def exchange_constraints(apps: Any, schema_editor: Any) -> None:
    """Build the new index, make it a constraint, and drop the old one; may be repeated."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_constraint WHERE conname = %s", [NAME])
        if cursor.fetchone():
            return
    build_index(
        connection,
        name=NAME,
        statement=f"CREATE UNIQUE INDEX CONCURRENTLY {NAME} ON api_instanceevent"
        " (instance_id, occurred_at, event_type, source_id)",
    )
    alter_table(
        connection,
        f"ALTER TABLE api_instanceevent ADD CONSTRAINT {NAME} UNIQUE USING INDEX {NAME},"
        " DROP CONSTRAINT IF EXISTS instanceevent_natural",
    )


class Migration(migrations.Migration):
    """Widen the natural key of events."""

    atomic = False

    dependencies = [("api", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(exchange_constraints)],
            state_operations=[
                migrations.RemoveConstraint("instanceevent", "instanceevent_natural"),
                migrations.AddConstraint(
                    "instanceevent",
                    models.UniqueConstraint(
                        fields=["instance", "occurred_at", "event_type", "source_id"],
                        name=NAME,
                    ),
                ),
            ],
        )
    ]
