"""Remember since when sources has not known an account (decision 35); additive."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('api', '0005_azure_vm_ids'),
    ]

    operations = [
        migrations.AddField(
            model_name='cloudaccount',
            name='missing_since',
            field=models.DateTimeField(null=True),
        ),
    ]
