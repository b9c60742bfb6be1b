"""The same work done as barely as it can be: what the product's figures are to be compared with."""

from datetime import date, timedelta
from typing import Any

from django.db import connection

from api.metering.concurrency import daily_peaks
from api.metering.facets import Facets

_INSERT_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT instance_id, switch.cloud_account_id, machine_image_id, occurred_at, ends,
       instance_type, vcpu, memory_mib, now(), now()
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
       USING (cloud_type, instance_type)
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
    facets = sorted(set(images.values()))
    place = {image: facets.index(facts) for image, facts in images.items()}
    spans = [(start, end, place[image]) for start, end, image in runs if image in place]
    return {
        day: [(*key, count) for key, count in peaks]
        for day, peaks in daily_peaks(spans, facets, first, last)
    }
