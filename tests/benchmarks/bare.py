"""The same work done as barely as it can be: what the product's figures are to be compared with."""

from datetime import date, timedelta
from typing import Any

from django.db import connection

from api.metering.concurrency import daily_peaks
from api.metering.facets import Facets
from api.models import CloudAccount

_INSERT_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT instance_id, switch.cloud_account_id, machine_image_id, occurred_at, ends,
       switch.instance_type, vcpu, memory_mib, now(), now()
FROM (
    SELECT *, lead(occurred_at) OVER (PARTITION BY instance_id ORDER BY occurred_at, id) AS ends
    FROM (
        SELECT *, lag(event_type) OVER (PARTITION BY instance_id ORDER BY occurred_at, id) AS last
        FROM api_instanceevent
        WHERE event_type IN ('power_on', 'power_off')
    ) power
    WHERE event_type IS DISTINCT FROM last AND (event_type = 'power_on' OR last IS NOT NULL)
) switch
JOIN api_instance instance ON instance.id = instance_id
LEFT JOIN api_instancedefinition size
       ON size.cloud_type = instance.cloud_type AND size.instance_type = switch.instance_type
WHERE event_type = 'power_on'
"""

_RUNS = """
SELECT (extract(epoch FROM start_time) * 1000000)::bigint,
       (extract(epoch FROM end_time) * 1000000)::bigint, machine_image_id
FROM api_run JOIN api_cloudaccount account ON account.id = cloud_account_id
WHERE user_id = %s AND start_time < %s AND (end_time IS NULL OR end_time >= %s)
"""

_IMAGES = """
SELECT id, architecture, role, sla, usage, service_type FROM api_machineimage WHERE is_rhel
"""

Entry = tuple[Any, ...]


def insert_runs() -> None:
    """Make all runs of all events by one INSERT ... SELECT, comparing and locking nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_RUNS)


def sweep(user_id: int, first: date, last: date) -> dict[date, list[Entry]]:
    """Calculate a customer's days from two SELECTs, storing nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, [user_id, last + timedelta(days=1), first])
        runs = cursor.fetchall()
        cursor.execute(_IMAGES)
        images = {row[0]: Facets(*row[1:]) for row in cursor.fetchall()}
    return {
        day: [(*key, count) for key, count in peaks]
        for day, peaks in daily_peaks(runs, images, first, last)
    }


_INSERT_EVENTS = """
INSERT INTO api_instanceevent (
    instance_id, cloud_account_id, event_type, occurred_at, instance_type,
    origin, source_id, source_name, source_object, created_at, updated_at)
SELECT instance.id, %s, event_type, occurred_at, new.instance_type, 'cloudtrail', '', '', 0,
       now(), now()
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[])
     AS new (name, event_type, occurred_at, instance_type)
JOIN api_instance instance ON instance.cloud_instance_id = new.name
"""

_EVENT_TYPES = {
    "StartInstances": "power_on",
    "StopInstances": "power_off",
    "ModifyInstanceAttribute": "attribute_change",
}


def insert_events(records: list[dict[str, Any]], account: CloudAccount) -> int:
    """Insert the events of decoded CloudTrail records, all of known instances."""
    rows = []
    for record in records:
        parameters = record["requestParameters"]
        ids = [parameters.get("instanceId")]
        if ids == [None]:
            items = record["responseElements"]["instancesSet"]["items"]
            ids = [item["instanceId"] for item in items]
        size = parameters.get("instanceType", {}).get("value")
        kind = _EVENT_TYPES[record["eventName"]]
        rows += [(name, kind, record["eventTime"], size) for name in ids]
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_EVENTS, [account.id, *columns])
        return cursor.rowcount
