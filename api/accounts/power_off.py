"""Switch off, in our books, the instances of an account that is not metered any more (03 §6.5)."""

from django.db import connection

from api.metering.runs import recalculate_runs
from api.models import CloudAccount
from util import clock

_SWITCH_OFF = """
INSERT INTO api_instanceevent (
    instance_id, cloud_account_id, event_type, occurred_at, instance_type, subnet,
    origin, source_id, source_name, source_object, source_index, created_at, updated_at)
SELECT instance.id, instance.cloud_account_id, 'power_off', %(now)s, NULL, NULL,
       %(origin)s, '', '', NULL, NULL, %(now)s, %(now)s
FROM api_instance instance
CROSS JOIN LATERAL (
    SELECT event_type
    FROM api_instanceevent event
    WHERE event.instance_id = instance.id
    ORDER BY occurred_at DESC, id DESC
    LIMIT 1
) latest
WHERE instance.cloud_account_id = %(account_id)s AND latest.event_type <> 'power_off'
ON CONFLICT DO NOTHING
RETURNING instance_id
"""


def switch_off_instances(account: CloudAccount, *, origin: str) -> int:
    """Write a power-off, now, for each instance whose latest event is none; returns how many.

    Their runs end in the same transaction, which has to hold the account's lock. Instances without
    any event are left alone.
    """
    parameters = {"account_id": account.id, "origin": origin, "now": clock.now()}
    with connection.cursor() as cursor:
        cursor.execute(_SWITCH_OFF, parameters)
        instance_ids = [row[0] for row in cursor.fetchall()]
    recalculate_runs(user_id=account.user_id, instance_ids=instance_ids)
    return len(instance_ids)
