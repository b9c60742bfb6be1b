from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """What audit, corrections and replays of logs need (spec 10 §3)."""

    dependencies = [
        ("api", "0021_coverage_of_deleted_accounts"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="traildigest",
            index=models.Index(fields=["aws_account_id", "end"], name="traildigest_account"),
        ),
        migrations.AddField(
            model_name="correction",
            name="created_at",
            field=models.DateTimeField(null=True),
        ),
        # Only now, so that rows which exist already get no moment of their own.
        migrations.AlterField(
            model_name="correction",
            name="created_at",
            field=models.DateTimeField(db_default=Now(), null=True),
        ),
        migrations.CreateModel(
            name='LogReplay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('aws_account_id', models.CharField(blank=True, help_text='empty: all', max_length=12)),
                ('region', models.CharField(blank=True, help_text='empty: all', max_length=64)),
                ('since', models.DateField()),
                ('until', models.DateField(help_text='inclusive')),
                ('missing_only', models.BooleanField(default=False)),
                ('restore', models.BooleanField(default=False)),
                ('position', models.TextField(blank=True)),
                ('is_walked', models.BooleanField(default=False)),
                ('failed_keys', models.JSONField(default=list)),
                ('found', models.BigIntegerField(default=0)),
                ('known', models.BigIntegerField(default=0)),
                ('replayed', models.BigIntegerField(default=0)),
                ('archived', models.BigIntegerField(default=0)),
                ('restoring', models.BigIntegerField(default=0)),
                ('started_at', models.DateTimeField(db_default=Now())),
                ('worked_at', models.DateTimeField(db_default=Now())),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('finished_at__isnull', True)), fields=('aws_account_id', 'region', 'since', 'until', 'missing_only', 'restore'), name='logreplay_unfinished')],
            },
        ),
    ]
