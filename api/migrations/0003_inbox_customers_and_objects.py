"""Let the inbox know customers by both of their ids, and objects (decisions 40, 41).

All of it is additive: the previous version goes on storing messages without the new columns.
"""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('api', '0002_identity_of_events'),
    ]

    operations = [
        migrations.AddField(
            model_name='inboxmessage',
            name='account_number',
            field=models.CharField(max_length=150, null=True),
        ),
        migrations.AddField(
            model_name='inboxmessage',
            name='application_id',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='inboxmessage',
            name='authentication_id',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='inboxmessage',
            name='missing_since',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='inboxmessage',
            name='org_id',
            field=models.CharField(max_length=150, null=True),
        ),
        migrations.AddField(
            model_name='inboxmessage',
            name='revived_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='accountstate',
            name='at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AlterField(
            model_name='errand',
            name='issued_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AlterField(
            model_name='errand',
            name='queued_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AlterField(
            model_name='inboxmessage',
            name='not_before',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AlterField(
            model_name='inboxmessage',
            name='received_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AddIndex(
            model_name='inboxmessage',
            index=models.Index(condition=models.Q(('account_number__isnull', False), ('state__in', ['waiting', 'working', 'handed_on', 'failed'])), fields=['org_id'], name='inboxmessage_tie'),
        ),
        migrations.AddIndex(
            model_name='inboxmessage',
            index=models.Index(condition=models.Q(('application_id__isnull', False)), fields=['application_id', 'id'], name='inboxmessage_application'),
        ),
        migrations.AddIndex(
            model_name='inboxmessage',
            index=models.Index(condition=models.Q(('authentication_id__isnull', False)), fields=['authentication_id', 'id'], name='inboxmessage_authentication'),
        ),
    ]
