"""What describes found that our events had not told (spec 10 §3.1)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from django.db import connection

from api.models import Correction

JSONObject = dict[str, Any]

_OFF, _ON = "off", "on"
_FOUND = """
FROM api_correction correction
JOIN api_cloudaccount account ON account.id = correction.cloud_account_id
JOIN api_instance instance ON instance.id = correction.instance_id
LEFT JOIN api_machineimage image ON image.id = instance.machine_image_id
LEFT JOIN api_instanceevent event ON event.id = correction.event_id
LEFT JOIN api_instanceevent explanation ON explanation.id = correction.explained_by
WHERE account.user_id = %s AND correction.unsure_to >= %s AND correction.unsure_to < %s
"""
_COLUMNS = """
SELECT correction.id, correction.unsure_to, correction.kind,
       instance.id, instance.cloud_type, instance.cloud_instance_id, instance.region,
       instance.cloud_account_id,
       image.cloud_image_id, event.instance_type,
       correction.unsure_from, correction.event_id, correction.describe_run_id,
       explanation.id, explanation.occurred_at, explanation.origin, explanation.source_name,
       explanation.source_id, explanation.created_at,
       count(*) OVER ()
"""
_PAGE = "ORDER BY correction.unsure_to DESC, correction.id DESC LIMIT %s OFFSET %s"

# The first calculation of each day after the correction was made. Clocks may differ (decision 41).
# What Azure's polls tell is all that is known of its machines, so all causes are theirs.
_DAYS_CHANGED = """
SELECT correction.id, changed.date, changed.total_before, changed.total_after
FROM api_correction correction
JOIN api_cloudaccount account ON account.id = correction.cloud_account_id
LEFT JOIN api_instanceevent event ON event.id = correction.event_id
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (date) date, total_before, total_after
    FROM api_usagerevision revision
    WHERE revision.user_id = account.user_id
      AND revision.date BETWEEN
          (least(event.occurred_at, correction.unsure_to) AT TIME ZONE 'UTC')::date
          AND (correction.created_at AT TIME ZONE 'UTC')::date
      AND revision.computed_at >= correction.created_at - interval '10 minutes'
      AND (account.cloud_type <> 'aws' OR revision.causes @> '["correction"]')
    ORDER BY date, revision.revision
) changed
WHERE correction.id = ANY(%s)
ORDER BY correction.id, changed.date
"""


def corrections(
    *,
    user_id: int,
    first_day: date,
    end: date,
    limit: int,
    offset: int,
    condition: str = "",
    values: Sequence[Any] = (),
) -> tuple[int, list[JSONObject]]:
    """Return how many corrections of the days before ``end`` there are, and a page, newest first.

    Days are UTC. ``condition`` is more SQL for the rows, with ``values`` in it. Three statements.
    """
    arguments = [user_id, _midnight(first_day), _midnight(end), *values]
    with connection.cursor() as cursor:
        cursor.execute(f"{_COLUMNS}{_FOUND}{condition} {_PAGE}", [*arguments, limit, offset])
        rows = cursor.fetchall()
        if not rows:
            cursor.execute(f"SELECT count(*) {_FOUND}{condition}", arguments)
            return cursor.fetchone()[0], []
    changed = _days_changed([row[0] for row in rows])
    return rows[0][-1], [_shown(row, changed[row[0]]) for row in rows]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _days_changed(ids: Sequence[int]) -> Mapping[int, list[JSONObject]]:
    days: dict[int, list[JSONObject]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_DAYS_CHANGED, [list(ids)])
        for correction_id, day, before, after in cursor.fetchall():
            days[correction_id].append({"date": day, "before": before, "after": after})
    return days


def _shown(row: Sequence[Any], days_changed: list[JSONObject]) -> JSONObject:
    _, at, kind, *instance = row[:8]
    image, instance_type, unsure_from, event_id, describe_id = row[8:13]
    believed, seen = {
        Correction.Kind.MISSED_ON: (_OFF, _ON),
        Correction.Kind.MISSED_OFF: (_ON, _OFF),
        Correction.Kind.IMAGE_FILLED: (None, image),
        Correction.Kind.TYPE_FILLED: (None, instance_type),
    }[kind]
    return {
        "at": at,
        "kind": kind,
        "instance": dict(zip(_INSTANCE, instance, strict=True)),
        "cloud_account_id": instance[-1],
        "believed": believed,
        "seen": seen,
        "unsure_from": unsure_from,
        "unsure_to": at,
        "event_id": event_id,
        "describe_id": describe_id,
        "explained_by": dict(zip(_EVENT, row[13:19], strict=True)) if row[13] else None,
        "days_changed": days_changed,
    }


_INSTANCE = ("instance_id", "cloud_type", "cloud_id", "region", "cloud_account_id")
_EVENT = ("event_id", "occurred_at", "origin", "name", "source_id", "recorded_at")
