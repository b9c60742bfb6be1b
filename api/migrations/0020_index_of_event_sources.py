"""Find an event by CloudTrail's ``eventID``, as operators search for it (spec 12 §3).

The index is built without a lock that keeps anybody from writing.
"""

from typing import Any

from django.contrib.postgres.indexes import HashIndex
from django.db import migrations, models

from util.migrations import build_index

NAME = "instanceevent_source"


def build(apps: Any, schema_editor: Any) -> None:
    """Build the index; may be repeated."""
    build_index(
        schema_editor.connection,
        name=NAME,
        statement=f"CREATE INDEX CONCURRENTLY {NAME} ON api_instanceevent USING hash (source_id)"
        " WHERE origin = 'cloudtrail'",
    )


class Migration(migrations.Migration):
    """Index events by what they come from."""

    atomic = False

    dependencies = [("api", "0019_audit_entries_and_fleet_samples")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build, migrations.RunPython.noop)],
            state_operations=[
                migrations.AddIndex(
                    "instanceevent",
                    HashIndex(
                        fields=["source_id"],
                        name=NAME,
                        condition=models.Q(origin="cloudtrail"),
                    ),
                )
            ],
        )
    ]
