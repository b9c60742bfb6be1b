"""Everything that is known of one instance, by time (spec 10 §1, §4)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from api.metering.facets import Key
from api.models import Correction, ImageFact, InspectionAttempt, InstanceEvent, Run
from util.replica import connection

JSONObject = dict[str, Any]

_ITEMS = """
WITH instance AS (
    SELECT id, machine_image_id FROM api_instance WHERE id = %(instance)s
), items AS (
    SELECT occurred_at AS at, 'event' AS kind, id FROM api_instanceevent
    WHERE instance_id = %(instance)s
    UNION ALL
    SELECT start_time, 'run_started', id FROM api_run WHERE instance_id = %(instance)s
    UNION ALL
    SELECT end_time, 'run_ended', id FROM api_run
    WHERE instance_id = %(instance)s AND end_time IS NOT NULL
    UNION ALL
    SELECT unsure_to, 'correction', id FROM api_correction WHERE instance_id = %(instance)s
    UNION ALL
    SELECT valid_from, 'image_fact', fact.id FROM api_imagefact fact
    JOIN instance USING (machine_image_id)
    WHERE fact.user_id IS NULL OR fact.user_id = %(user)s
    UNION ALL
    SELECT created_at, 'inspection', attempt.id FROM api_inspectionattempt attempt
    JOIN instance USING (machine_image_id)
)
"""
_PAGE = f"""{_ITEMS}
SELECT at, kind, id, count(*) OVER () FROM items ORDER BY at DESC, kind, id
LIMIT %(rows)s OFFSET %(offset)s
"""  # noqa: S608 - made of constants
_COUNT = f"{_ITEMS} SELECT count(*) FROM items"  # noqa: S608 - made of constants


class Item(NamedTuple):
    """Where one thing stands in the timeline."""

    at: datetime
    kind: str
    id: int


def timeline(
    *, user_id: int, instance_id: int, limit: int, offset: int
) -> tuple[int, list[JSONObject]]:
    """Return how much is known of an instance, and a page of it, newest first.

    At most one statement for each kind of thing on the page, and two more.
    """
    arguments = {"instance": instance_id, "user": user_id}
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, arguments | {"rows": limit, "offset": offset})
        rows = cursor.fetchall()
        if not rows and offset:
            cursor.execute(_COUNT, arguments)
            return cursor.fetchone()[0], []
    items = [Item(*row[:3]) for row in rows]
    details = {
        kind: read({item.id for item in items if item.kind == kind})
        for kind, read in _READERS.items()
        if any(item.kind == kind for item in items)
    }
    shown = [{"at": at, "kind": kind, **details[kind][id_]} for at, kind, id_ in items]
    return (rows[0][3] if rows else 0), shown


def _events(ids: Iterable[int]) -> Mapping[int, JSONObject]:
    return {
        event.id: {
            "event_id": event.id,
            "occurred_at": event.occurred_at,
            "origin": event.origin,
            "name": event.source_name,
            "source_id": event.source_id,
            "recorded_at": event.created_at,
            "event_type": event.event_type,
            "instance_type": event.instance_type,
        }
        for event in InstanceEvent.objects.filter(id__in=ids)
    }


def _runs(ids: Iterable[int]) -> Mapping[int, JSONObject]:
    return {
        run.id: {"run_id": run.id, "instance_type": run.instance_type}
        for run in Run.objects.filter(id__in=ids)
    }


def _image_facts(ids: Iterable[int]) -> Mapping[int, JSONObject]:
    columns = ("valid_from", "is_rhel", "architecture", *Key._fields[1:], "rhel_version")
    return {
        fact.id: {
            "image_id": fact.machine_image_id,
            **{column: getattr(fact, column) for column in columns},
            "reason": fact.reason,
            "ref": fact.ref,
            "evidence": fact.evidence,
        }
        for fact in ImageFact.objects.filter(id__in=ids)
    }


def _corrections(ids: Iterable[int]) -> Mapping[int, JSONObject]:
    return {
        one.id: {
            "correction": one.kind,
            "unsure_from": one.unsure_from,
            "unsure_to": one.unsure_to,
            "event_id": one.event_id,
            "describe_id": one.describe_run_id,
            "explained_by": one.explained_by,
        }
        for one in Correction.objects.filter(id__in=ids)
    }


def _inspections(ids: Iterable[int]) -> Mapping[int, JSONObject]:
    attempts = InspectionAttempt.objects.filter(id__in=ids).defer("result")
    return {
        attempt.id: {
            "attempt_id": attempt.id,
            "outcome": attempt.outcome,
            "error": attempt.error,
            "finished_at": attempt.finished_at,
        }
        for attempt in attempts
    }


_READERS: Mapping[str, Callable[[Iterable[int]], Mapping[int, JSONObject]]] = {
    "event": _events,
    "run_started": _runs,
    "run_ended": _runs,
    "image_fact": _image_facts,
    "correction": _corrections,
    "inspection": _inspections,
}

KINDS: Sequence[str] = tuple(_READERS)
