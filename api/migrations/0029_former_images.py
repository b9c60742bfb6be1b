"""Remember which images an instance had before; additive, and the table is needed for a moment."""

from typing import Any

from django.db import migrations, models

from util.migrations import alter_table


def add_column(apps: Any, schema_editor: Any) -> None:
    """Add the column if it is not there yet; may be repeated."""
    statement = "ALTER TABLE api_instance ADD COLUMN IF NOT EXISTS former_images jsonb"
    alter_table(schema_editor.connection, statement)


class Migration(migrations.Migration):
    """Add ``Instance.former_images``."""

    atomic = False

    dependencies = [("api", "0028_shown_counts")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add_column)],
            state_operations=[
                migrations.AddField(
                    model_name="instance",
                    name="former_images",
                    field=models.JSONField(
                        help_text=(
                            "Azure: images that it had before, by time, each as [until, id]; until "
                            "is in microseconds since 1970; runs that started before have them"
                        ),
                        null=True,
                    ),
                ),
            ],
        )
    ]
