from django.db import migrations, models


class Migration(migrations.Migration):
    """Keep counts of days as they are shown: two columns without a value, no table is rewritten."""

    dependencies = [
        ("api", "0027_uploaded_registrations"),
    ]

    operations = [
        migrations.AddField(
            model_name="concurrentusage",
            name="shown_counts",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="concurrentusage",
            name="shown_revision",
            field=models.PositiveIntegerField(null=True),
        ),
    ]
