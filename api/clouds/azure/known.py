"""What is stored of an account's instances, read in one statement however many they are."""

import json
from datetime import datetime
from typing import Any

from django.db import connection

from api.clouds.azure.compare import KnownMachine, MachineFacts

# Each lateral part reads one row off the end of an index.
_KNOWN = """
SELECT instance.cloud_instance_id, instance.id, instance.machine_image_id, instance.vm_id,
       power.event_type, power.origin, latest.occurred_at, sized.instance_type,
       fact.id, fact.instance_type, fact.licenses, fact.lifecycle, fact.zone, fact.image
FROM api_instance instance
LEFT JOIN LATERAL (
    SELECT event_type, origin FROM api_instanceevent
    WHERE instance_id = instance.id AND event_type IN ('power_on', 'power_off')
    ORDER BY occurred_at DESC, id DESC LIMIT 1
) power ON true
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = instance.id
    ORDER BY occurred_at DESC LIMIT 1
) latest ON true
LEFT JOIN LATERAL (
    SELECT instance_type FROM api_instanceevent
    WHERE instance_id = instance.id AND instance_type IS NOT NULL
    ORDER BY occurred_at DESC, id DESC LIMIT 1
) sized ON true
LEFT JOIN LATERAL (
    SELECT id, instance_type, licenses, lifecycle, zone, image FROM api_instancefact
    WHERE instance_id = instance.id
    ORDER BY observed_at DESC, id DESC LIMIT 1
) fact ON true
WHERE instance.cloud_account_id = %s
"""


def known_instances(account_id: int) -> dict[str, KnownMachine]:
    """Return an account's instances by their ids in lower case, as Azure compares them.

    In ours, not in PostgreSQL's, which depends on the database's locale.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [account_id])
        return {row[0].lower(): _known(*row[1:]) for row in cursor.fetchall()}


def _known(
    instance_id: int,
    image_id: int | None,
    vm_id: str | None,
    power: str | None,
    origin: str | None,
    changed_at: datetime | None,
    size: str | None,
    fact_id: int | None,
    *fact: Any,
) -> KnownMachine:
    return KnownMachine(
        id=instance_id,
        image_id=image_id,
        vm_id=vm_id,
        power=power,
        power_origin=origin,
        changed_at=changed_at,
        size=size,
        facts=_facts(*fact) if fact_id is not None else None,
    )


def _facts(
    size: str | None,
    licenses: str | None,
    lifecycle: str | None,
    zone: str | None,
    image: str | None,
) -> MachineFacts:
    """Make facts of a row, in which JSON is text."""
    return MachineFacts(
        instance_type=size,
        licenses=json.loads(licenses) if licenses is not None else None,
        lifecycle=lifecycle,
        zone=zone,
        image=json.loads(image) if image is not None else None,
    )
