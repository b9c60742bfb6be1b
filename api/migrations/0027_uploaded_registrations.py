import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Keep the rows of uploaded files until a worker has stored them."""

    dependencies = [
        ('api', '0026_audit_entries_of_imports'),
    ]

    operations = [
        migrations.CreateModel(
            name='UploadedRegistration',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('line', models.BigIntegerField()),
                ('cloud', models.TextField()),
                ('cloud_id', models.TextField()),
                ('registered_from', models.DateTimeField()),
                ('registered_until', models.DateTimeField(null=True)),
                ('action', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='api.auditentry')),
            ],
        ),
    ]
