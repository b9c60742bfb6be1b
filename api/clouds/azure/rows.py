"""Write instances and events, each kind in one statement however many there are."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection

from api.clouds.azure.compare import NewEvent
from api.clouds.azure.transform import ImageKey, Machine
from api.models import CloudType, InstanceEvent

_ADD_INSTANCES = """
INSERT INTO api_instance (
    cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
    created_at, updated_at)
SELECT %s, image, %s, cloud_id, region, %s, %s
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (image, cloud_id, region)
ON CONFLICT DO NOTHING
RETURNING lower(cloud_instance_id), id
"""

_RELINK = """
UPDATE api_instance instance SET machine_image_id = wanted.image, updated_at = %s
FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (id, image)
WHERE instance.id = wanted.id
"""

_ADD_EVENTS = """
INSERT INTO api_instanceevent (
    instance_id, cloud_account_id, event_type, occurred_at, instance_type, subnet,
    origin, source_id, source_name, source_object, source_index, created_at, updated_at)
SELECT instance, %s, event_type, occurred_at, instance_type, NULL, %s, %s, '', NULL, NULL, %s, %s
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[])
     AS new (instance, event_type, occurred_at, instance_type)
ON CONFLICT DO NOTHING
RETURNING instance_id, id
"""


def add_instances(
    *,
    account_id: int,
    machines: Sequence[Machine],
    image_ids: Mapping[ImageKey, int],
    now: datetime,
) -> dict[str, int]:
    """Store new instances; give their ids by ``Machine.key``.

    An id that is taken by another account is left out: it can not be this customer's.
    """
    if not machines:
        return {}
    images = [image_ids[machine.image_key] if machine.image_key else None for machine in machines]
    names = [machine.resource_id for machine in machines]
    regions = [machine.region for machine in machines]
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD_INSTANCES, [account_id, CloudType.AZURE, now, now, images, names, regions]
        )
        return dict(cursor.fetchall())


def relink_instances(image_ids: Mapping[int, int], *, now: datetime) -> None:
    """Store the image that each of these instances has now."""
    if image_ids:
        with connection.cursor() as cursor:
            cursor.execute(_RELINK, [now, list(image_ids), list(image_ids.values())])


def add_events(
    *,
    account_id: int,
    run_id: int,
    events: Sequence[NewEvent],
    instance_ids: Mapping[str, int],
    now: datetime,
) -> dict[int, int]:
    """Store events of a poll; give their ids by the ids of their instances."""
    if not events:
        return {}
    columns = [
        [instance_ids[event.key] for event in events],
        [event.event_type for event in events],
        [event.occurred_at for event in events],
        [event.instance_type for event in events],
    ]
    origin = InstanceEvent.Origin.AZURE_POLL
    with connection.cursor() as cursor:
        cursor.execute(_ADD_EVENTS, [account_id, origin, str(run_id), now, now, *columns])
        return dict(cursor.fetchall())
