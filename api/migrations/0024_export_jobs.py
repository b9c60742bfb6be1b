"""Keep exports that workers write to a bucket (spec 11 §4); additive."""

import django.db.models.deletion
import util.clock
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("api", "0023_replay_no_logs"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExportJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(default=util.clock.now, editable=False)),
                ("updated_at", models.DateTimeField(default=util.clock.now, editable=False)),
                ("kind", models.CharField(max_length=16)),
                ("filters", models.JSONField(default=dict)),
                ("format", models.CharField(max_length=8)),
                ("status", models.CharField(choices=[("queued", "Queued"), ("running", "Running"), ("done", "Done"), ("failed", "Failed")], default="queued", max_length=8)),
                ("rows", models.BigIntegerField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("detail", models.TextField(blank=True, default="")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="export_jobs", to=settings.AUTH_USER_MODEL)),
            ],
            options={"abstract": False},
        ),
    ]
