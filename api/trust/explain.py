"""A stored number of one day, the runs that make it, and where those come from (spec 10 §1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from api.images.facts import RHEL_FOR_EVERYBODY
from api.metering.days import Days
from api.metering.facets import ANY, Key
from api.metering.staleness import is_unavailable, mark_days_stale
from api.metering.timeline import Instant, moment_of
from api.models import Cause, ConcurrentUsage
from api.models.instance import EVENT_RANK
from api.trust import explained
from api.trust.mismatches import note_mismatch
from api.trust.reasons import reasons_of
from api.trust.witness import Candidate, peak_of_day
from util.replica import connection

ROWS_AT_ONCE = 20_000

JSONObject = dict[str, Any]

# Two ranges of one index: the runs that end late enough, and those that are still open.
_CANDIDATES = f"""
WITH account AS MATERIALIZED (SELECT id FROM api_cloudaccount WHERE user_id = %(user)s),
counted AS (
    SELECT image.id FROM api_machineimage image
    WHERE image.id IN (
        SELECT machine_image_id FROM api_run
        WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account))
          AND (end_time >= %(begin)s OR end_time IS NULL) AND start_time < %(limit)s
    ) AND ({RHEL_FOR_EVERYBODY} OR EXISTS (
        SELECT FROM api_imagetags tags
        WHERE tags.machine_image_id = image.id AND tags.rhel
          AND tags.cloud_account_id = ANY(ARRAY(SELECT id FROM account))
    ))
    AND (%(arch)s IN ('{ANY}', coalesce(image.architecture, '')))
    AND (%(role)s IN ('{ANY}', image.role)) AND (%(sla)s IN ('{ANY}', image.sla))
    AND (%(usage)s IN ('{ANY}', image.usage))
    AND (%(service_type)s IN ('{ANY}', image.service_type))
)
SELECT id, (extract(epoch FROM start_time) * 1000000)::bigint,
       (extract(epoch FROM end_time) * 1000000)::bigint
FROM api_run
WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account))
  AND (end_time >= %(begin)s OR end_time IS NULL) AND start_time < %(limit)s
  AND machine_image_id IN (SELECT id FROM counted)
"""  # noqa: S608 - made of constants

_EVENT_COLUMNS = ("id", "occurred_at", "origin", "source_name", "source_id", "created_at")
_SOURCE_COLUMNS = ("bucket", "key", "processed_at")


def _event_of(name: str, event_type: str, moment: str) -> str:
    """Return the join with the event that began or ended a run."""
    return f"""
LEFT JOIN LATERAL (
    SELECT event.*, object.bucket, object.key, object.processed_at FROM api_instanceevent event
    LEFT JOIN api_ingestobject object ON object.id = event.source_object
    WHERE event.instance_id = run.instance_id AND event.occurred_at = run.{moment}
      AND event.event_type = '{event_type}'
    ORDER BY {EVENT_RANK}, event.id LIMIT 1
) {name} ON true"""  # noqa: S608


def _columns(name: str) -> str:
    wanted = (*_EVENT_COLUMNS, "source_index", *_SOURCE_COLUMNS)
    return ", ".join(f"{name}.{column}" for column in wanted)


_MEMBERS = f"""
SELECT run.id, run.start_time, run.end_time, run.instance_type, run.vcpu, run.memory,
       instance.id, instance.cloud_type, instance.cloud_instance_id, instance.region,
       run.cloud_account_id,
       image.id, image.cloud_image_id, image.name, image.architecture, image.role, image.sla,
       image.usage, image.service_type,
       {_columns("opened")}, {_columns("closed")}
FROM api_run run
JOIN api_instance instance ON instance.id = run.instance_id
JOIN api_machineimage image ON image.id = run.machine_image_id
{_event_of("opened", "power_on", "start_time")}
{_event_of("closed", "power_off", "end_time")}
WHERE run.id = ANY(%s)
ORDER BY run.start_time, run.id
"""  # noqa: S608


class NotCalculatedError(Exception):
    """The day has no stored number that holds now."""


@dataclass(frozen=True)
class Explanation:
    """A stored number, and the ids of the runs that it counts, in the order of their starts."""

    day: date
    key: Key
    since: datetime | None
    until: datetime | None
    carried_over: int
    revision: int
    computed_at: datetime
    run_ids: Sequence[int]

    def head(self) -> JSONObject:
        """Return what is said of the number itself."""
        return {
            "date": self.day,
            "key": self.key._asdict(),
            "instances_count": len(self.run_ids),
            "peak_from": self.since,
            "peak_until": self.until,
            "carried_over": self.carried_over,
            "revision": self.revision,
            "computed_at": self.computed_at,
        }


class _Stored(NamedTuple):
    number: int
    revision: int
    computed_at: datetime


def explain(*, user_id: int, day: date, key: Key) -> Explanation:
    """Return why a customer's number of a UTC day is what it is. Raises NotCalculatedError.

    If the runs do not make the stored number the day is withdrawn, to be calculated again, and the
    mismatch is counted: it is a fault of ours. To be called where a transaction is committed even
    though the error is raised.
    """
    stored = _stored(user_id, day, key)
    cached = explained.Place(user_id, day, key, stored.revision, stored.computed_at)
    found = explained.load(cached)
    if found is None:
        peak = peak_of_day(candidates_of_day(user_id, day, key), day)
        run_ids = [run.run_id for run in peak.members]
        found = explained.FoundPeak(peak.since, peak.until, peak.carried_over, run_ids)
        explained.save(cached, found)
    if len(found.run_ids) != stored.number:
        _report_mismatch(user_id, day, key, stored, len(found.run_ids))
        raise NotCalculatedError
    return _explanation(day, key, stored, found)


def _stored(user_id: int, day: date, key: Key) -> _Stored:
    rows = ConcurrentUsage.objects.filter(~is_unavailable(), user_id=user_id, date=day)
    row = rows.values_list("maximum_counts", "revision", "computed_at").first()
    if row is None:
        raise NotCalculatedError
    counts, revision, computed_at = row
    wanted = list(key)
    number = next((entry[5] for entry in counts if entry[:5] == wanted), 0)
    return _Stored(number, revision, computed_at)


def candidates_of_day(user_id: int, day: date, key: Key) -> Iterator[Candidate]:
    """Yield the runs that touch a UTC day and count for the key, in any order."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CANDIDATES,
            {"user": user_id, "begin": day, "limit": day + timedelta(days=1), **key._asdict()},
        )
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                yield Candidate(*row)


def _report_mismatch(user_id: int, day: date, key: Key, stored: _Stored, members: int) -> None:
    """Withdraw a day whose number its runs do not make, unless it has changed meanwhile."""
    try:
        if _stored(user_id, day, key) != stored:
            return
    except NotCalculatedError:
        return
    note_mismatch(user_id=user_id, day=day, stored=stored.number, members=members)
    mark_days_stale(user_id=user_id, days=[Days(day, day)], cause=Cause.OPERATOR)


def _explanation(day: date, key: Key, stored: _Stored, found: explained.FoundPeak) -> Explanation:
    return Explanation(
        day=day,
        key=key,
        since=_moment(found.since),
        until=_moment(found.until),
        carried_over=found.carried_over,
        revision=stored.revision,
        computed_at=stored.computed_at,
        run_ids=found.run_ids,
    )


def _moment(instant: Instant | None) -> datetime | None:
    return None if instant is None else moment_of(instant)


def members(
    *, user_id: int, run_ids: Sequence[int], computed_at: datetime, with_sources: bool = False
) -> list[JSONObject]:
    """Return what is known of runs, in the order of their starts; two statements.

    ``with_sources`` adds where the log records lie, which is for operators alone.
    """
    if not run_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS, [list(run_ids)])
        rows = cursor.fetchall()
    reasons = reasons_of(
        user_id=user_id, image_ids={row[11] for row in rows}, computed_at=computed_at
    )
    return [_member(row, reasons, with_sources) for row in rows]


def _member(
    row: Sequence[Any], reasons: Mapping[int, JSONObject], with_sources: bool
) -> JSONObject:
    run, instance, image, events = row[:6], row[6:11], row[11:19], row[19:]
    half = len(events) // 2
    return {
        **dict(
            zip(
                ("run_id", "start_time", "end_time", "instance_type", "vcpu", "memory"),
                (*run[:5], whole(run[5])),
                strict=True,
            )
        ),
        "instance": dict(
            zip(
                ("instance_id", "cloud_type", "cloud_id", "region", "cloud_account_id"),
                instance,
                strict=True,
            )
        ),
        "image": {
            **dict(
                zip(
                    ("image_id", "cloud_id", "name", "architecture", *Key._fields[1:]),
                    image,
                    strict=True,
                )
            ),
            **reasons[image[0]],
        },
        "opened_by": _event(events[:half], with_sources),
        "closed_by": _event(events[half:], with_sources),
    }


def whole(number: float | None) -> float | int | None:
    """Return a number without its fraction if that is zero."""
    return int(number) if number is not None and number == int(number) else number


def _event(columns: Sequence[Any], with_sources: bool) -> JSONObject | None:
    event_id, occurred_at, origin, name, source_id, recorded_at, index, *source = columns
    if event_id is None:
        return None
    shown = {
        "event_id": event_id,
        "occurred_at": occurred_at,
        "origin": origin,
        "name": name,
        "source_id": source_id,
        "recorded_at": recorded_at,
    }
    if with_sources and source[0] is not None:
        bucket, key, processed_at = source
        shown["source"] = {
            "bucket": bucket,
            "key": key,
            "index": index,
            "processed_at": processed_at,
        }
    return shown
