"""Remember of which changes of tags logs do not tell; additive, and no row is written."""

from typing import Any

from django.db import migrations, models

from util.migrations import alter_table


def add_column(apps: Any, schema_editor: Any) -> None:
    """Add the column if it is not there yet; may be repeated."""
    statement = (
        "ALTER TABLE api_cloudaccount ADD COLUMN IF NOT EXISTS tags_unread_until timestamptz"
    )
    alter_table(schema_editor.connection, statement)


class Migration(migrations.Migration):
    """Add ``CloudAccount.tags_unread_until``."""

    atomic = False

    dependencies = [("api", "0029_former_images")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add_column)],
            state_operations=[
                migrations.AddField(
                    model_name="cloudaccount",
                    name="tags_unread_until",
                    field=models.DateTimeField(null=True),
                ),
            ],
        )
    ]
