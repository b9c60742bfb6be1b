"""Switch off, in our books, the instances of an account that is not metered any more (03 §6.5)."""

import uuid
from typing import Any

from django.db import connection

from api.metering.runs import recalculate_runs
from api.models import CloudAccount
from api.models.instance import NEWEST_EVENT_FIRST
from util import postgres

_SWITCH_OFF = f"""
INSERT INTO api_instanceevent (
    instance_id, cloud_account_id, event_type, occurred_at, instance_type, subnet,
    origin, source_id, source_name, source_object, source_index, created_at, updated_at)
SELECT instance.id, instance.cloud_account_id, 'power_off',
       GREATEST(%(now)s, latest.occurred_at), NULL, NULL,
       %(origin)s, %(source_id)s, '', NULL, NULL, %(now)s, %(now)s
FROM api_instance instance
CROSS JOIN LATERAL (
    SELECT event_type, occurred_at
    FROM api_instanceevent event
    WHERE event.instance_id = instance.id
    ORDER BY {NEWEST_EVENT_FIRST}
    LIMIT 1
) latest
WHERE instance.cloud_account_id = %(account_id)s AND latest.event_type <> 'power_off'
ON CONFLICT DO NOTHING
RETURNING instance_id
"""  # noqa: S608 - made of constants


def switch_off_instances(account: CloudAccount, *, origin: str) -> int:
    """Store a power-off, now, for each instance that is on by its newest event; return how many.

    Now is PostgreSQL's, and never before the instance's latest event: what was told by a worker or
    a cloud whose clock is ahead does not switch the instance on again (decision 41). Runs end in
    the same transaction, which has to hold the account's lock. Instances without any event are left
    alone.
    """
    parameters: dict[str, Any] = {
        "account_id": account.id,
        "origin": origin,
        # An earlier power-off may have the same moment; this one must be stored nevertheless.
        "source_id": str(uuid.uuid4()),
        "now": postgres.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SWITCH_OFF, parameters)
        instance_ids = [row[0] for row in cursor.fetchall()]
    recalculate_runs(user_id=account.user_id, instance_ids=instance_ids)
    return len(instance_ids)
