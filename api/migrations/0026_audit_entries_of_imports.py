from django.db import migrations, models


class Migration(migrations.Migration):
    """Name one more action; the database's column stays as it is."""

    dependencies = [
        ("api", "0025_child_tasks"),
    ]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("recalculate", "Recalculate"),
                    ("replay", "Replay"),
                    ("reinspect", "Reinspect"),
                    ("import", "Import"),
                    ("import_original", "Import Original"),
                    ("cancel", "Cancel"),
                ],
                max_length=16,
            ),
        ),
    ]
