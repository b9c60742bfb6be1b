"""Tell Azure's machines from later ones of the same name, and keep what a poll could not read.

Both columns are nullable, so the previous version may run on. A table is needed by itself only for
the moment in which its column is added.
"""

from typing import Any

from django.db import migrations, models

from util.migrations import alter_table


def add_columns(apps: Any, schema_editor: Any) -> None:
    """Add the columns that are not there yet; may be repeated."""
    for statement in (
        "ALTER TABLE api_instance ADD COLUMN IF NOT EXISTS vm_id varchar(64)",
        "ALTER TABLE api_describerun ADD COLUMN IF NOT EXISTS unreadable jsonb",
    ):
        alter_table(schema_editor.connection, statement)


class Migration(migrations.Migration):
    """Add ``Instance.vm_id`` and ``DescribeRun.unreadable``."""

    atomic = False

    dependencies = [("api", "0004_inbox_fill_customers_and_objects")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add_columns)],
            state_operations=[
                migrations.AddField(
                    model_name="instance",
                    name="vm_id",
                    field=models.CharField(
                        help_text="Azure: vmId, which no later machine of this name has",
                        max_length=64,
                        null=True,
                    ),
                ),
                migrations.AddField(
                    model_name="describerun",
                    name="unreadable",
                    field=models.JSONField(
                        help_text=(
                            "Azure: ids of scale sets that could not be read, a hundred at most"
                        ),
                        null=True,
                    ),
                ),
            ],
        )
    ]
