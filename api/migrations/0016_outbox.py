"""Errands are called outbox entries. No row changes.

The version before this one may still run while this is applied: for it, ``api_errand`` stays as a
view of the table, which it may read and write. A later migration can drop the view.
"""

from django.db import migrations

OLD_NAME = """
CREATE VIEW api_errand AS
SELECT key, task, args, task_id AS ticket, issued_at, queued_at, done_at, attempts, last_error
FROM api_outboxentry
"""

SET_ASIDE = "UPDATE api_setasidetask SET work = %s || substr(work, %s) WHERE work LIKE %s"


class Migration(migrations.Migration):
    """Renames of model, column and indexes, and the view under the old name."""

    dependencies = [("api", "0015_usage_outbox")]

    operations = [
        migrations.RenameModel("Errand", "OutboxEntry"),
        migrations.RenameField("OutboxEntry", "ticket", "task_id"),
        migrations.RenameIndex("OutboxEntry", new_name="outbox_open", old_name="errand_open"),
        migrations.RenameIndex("OutboxEntry", new_name="outbox_done", old_name="errand_done"),
        migrations.RunSQL(OLD_NAME, "DROP VIEW api_errand"),
        migrations.RunSQL(
            [(SET_ASIDE, ["outbox-", len("errand-") + 1, "errand-%"])],
            [(SET_ASIDE, ["errand-", len("outbox-") + 1, "outbox-%"])],
        ),
    ]
