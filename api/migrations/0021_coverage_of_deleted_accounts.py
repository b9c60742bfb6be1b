"""Delete the coverage of an account with the account, also where the previous version deletes it.

It does not know these rows, and may run on for a while.
"""

from typing import Any

from django.db import migrations

from util.migrations import alter_table

KEYS = """
SELECT conname FROM pg_constraint
WHERE conrelid = 'api_coverageday'::regclass AND confrelid = 'api_cloudaccount'::regclass
"""

CASCADE = """
ALTER TABLE api_coverageday {dropped}
    ADD CONSTRAINT coverageday_account FOREIGN KEY (cloud_account_id)
        REFERENCES api_cloudaccount ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
"""


def delete_with_account(apps: Any, schema_editor: Any) -> None:
    """Replace the foreign key, whatever its name; may be repeated."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute(KEYS)
        dropped = "".join(f'DROP CONSTRAINT "{name}", ' for (name,) in cursor.fetchall())
    alter_table(connection, CASCADE.format(dropped=dropped))


class Migration(migrations.Migration):
    """Let the database cascade."""

    atomic = False

    dependencies = [("api", "0020_index_of_event_sources")]

    operations = [migrations.RunPython(delete_with_account, migrations.RunPython.noop)]
