"""Call what a message has queued its child tasks; the column keeps its name, nothing is changed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("api", "0024_export_jobs")]

    operations = [
        migrations.AlterField(
            "InboxMessage", "follow_ups", models.JSONField(default=list, db_column="follow_ups")
        ),
        migrations.RenameField("InboxMessage", "follow_ups", "child_tasks"),
    ]
