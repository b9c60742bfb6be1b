"""What the audit of the trail bucket compares with, and what it writes down (spec 10 §3.3).

The names of an hour's files are kept (``IngestHour.seen``, 09 P3) until the audit has compared them
with the bucket for the last time. From then on (``audited_at``) a file of that hour is known unless
a finding says otherwise, or it came later.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Min, Q

from api.clouds.aws.cloudtrail.listing import ListedObject
from api.clouds.aws.cloudtrail.object_keys import TrailKey
from api.models import AuditedDay, AuditFinding, TrailDigest
from util import clock, postgres
from util.metrics import counter

HOURS_AT_ONCE = 5000

LATEST_DELIVERY = timedelta(minutes=15)
"""How long after an event CloudTrail delivers it at the latest, by its guide."""

REQUEUE_AGAIN_AFTER = timedelta(minutes=15)
"""How old a message about an object must be for another one to be sent."""

UNPROCESSED = counter(
    "cloudigrade_audit_unprocessed_objects",
    "Objects of the trail bucket that the audit found unprocessed.",
)
MISSING = counter(
    "cloudigrade_audit_missing_objects",
    "Log files that a digest lists and the trail bucket does not have.",
)

# A file that failed has a row of its own, whatever the hour says of it.
_UNPROCESSED = """
WITH wanted AS (
    SELECT * FROM unnest(%(places)s::integer[], %(accounts)s::text[], %(regions)s::text[],
                         %(hours)s::timestamptz[], %(names)s::text[], %(keys)s::text[],
                         %(modified)s::timestamptz[])
        AS object (place, account, region, hour, name, key, modified_at)
), hours AS (
    SELECT place.*, hour.audited_at, hour.seen
    FROM (SELECT DISTINCT account, region, hour FROM wanted) AS place
    JOIN api_ingesthour hour
      ON hour.aws_account_id = place.account AND hour.region = place.region
     AND hour.hour = place.hour
), seen AS (
    SELECT DISTINCT hours.account, hours.region, hours.hour, name
    FROM hours CROSS JOIN LATERAL string_to_table(hours.seen, E'\\n') AS name
)
SELECT wanted.place
FROM wanted
LEFT JOIN api_ingestobject object ON object.bucket = %(bucket)s AND object.key = wanted.key
LEFT JOIN seen
  ON seen.account = wanted.account AND seen.region = wanted.region
 AND seen.hour = wanted.hour AND seen.name = wanted.name
LEFT JOIN hours
  ON hours.account = wanted.account AND hours.region = wanted.region
 AND hours.hour = wanted.hour
WHERE CASE
    WHEN object.id IS NOT NULL THEN object.outcome <> 'ok'
    WHEN seen.name IS NOT NULL THEN false
    WHEN hours.audited_at >= wanted.modified_at THEN EXISTS (
        SELECT FROM api_auditfinding finding
        WHERE finding.aws_account_id = wanted.account AND finding.region = wanted.region
          AND finding.key = wanted.key AND finding.resolved_at IS NULL)
    ELSE true
END
ORDER BY wanted.place
"""

_SAVE = """
INSERT INTO api_auditfinding AS known (
    aws_account_id, region, reason, bucket, key, events_from, events_to, found_at)
SELECT account, region, reason, bucket, key, events_from, events_to, %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::timestamptz[], %s::timestamptz[])
     AS new (account, region, reason, bucket, key, events_from, events_to)
ON CONFLICT (aws_account_id, region, key, events_from) DO UPDATE
SET reason = EXCLUDED.reason, events_to = EXCLUDED.events_to,
    found_at = CASE WHEN known.resolved_at IS NULL THEN known.found_at ELSE EXCLUDED.found_at END,
    resolved_at = NULL,
    requeued_at = CASE WHEN known.resolved_at IS NULL THEN known.requeued_at END
WHERE known.resolved_at IS NOT NULL OR known.reason <> EXCLUDED.reason
RETURNING reason
"""

_RESOLVE = """
UPDATE api_auditfinding finding SET resolved_at = %s
FROM unnest(%s::text[], %s::text[], %s::text[]) AS done (account, region, key)
WHERE finding.aws_account_id = done.account AND finding.region = done.region
  AND finding.key = done.key AND finding.resolved_at IS NULL
RETURNING finding.key
"""

_RESOLVE_DIGESTS = """
UPDATE api_auditfinding finding SET resolved_at = %s
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
     AS digest (account, region, starts, ends)
WHERE finding.aws_account_id = digest.account AND finding.region = digest.region
  AND finding.reason = 'digest_missing' AND finding.resolved_at IS NULL
  AND finding.events_from >= digest.starts AND finding.events_to <= digest.ends
"""

_FORGET_NAMES = """
UPDATE api_ingesthour SET seen = '', audited_at = %s
WHERE id IN (
    SELECT id FROM api_ingesthour
    WHERE hour >= %s AND hour < %s AND audited_at IS NULL
    LIMIT %s
)
"""


class NewAuditFinding(NamedTuple):
    """What is wrong, and between which moments events are unknown because of it."""

    aws_account_id: str
    region: str
    reason: str
    bucket: str
    key: str
    events_from: datetime
    events_to: datetime


def finding_of(reason: str, key: TrailKey, bucket: str, delivered_at: datetime) -> NewAuditFinding:
    """Return what it means that a log file was not processed, or is not there."""
    return NewAuditFinding(
        aws_account_id=key.account_id,
        region=key.region,
        reason=str(reason),
        bucket=bucket,
        key=key.text,
        events_from=delivered_at - LATEST_DELIVERY,
        events_to=delivered_at,
    )


def unprocessed(listed: Sequence[ListedObject], *, bucket: str) -> list[ListedObject]:
    """Return those objects of the bucket that were not processed, or not successfully."""
    if not listed:
        return []
    parameters: dict[str, Any] = {
        "places": list(range(len(listed))),
        "accounts": [one.key.account_id for one in listed],
        "regions": [one.key.region for one in listed],
        "hours": [one.hour for one in listed],
        "names": [one.key.packed_name for one in listed],
        "keys": [one.key.text for one in listed],
        "modified": [one.modified_at for one in listed],
        "bucket": bucket,
    }
    with connection.cursor() as cursor:
        cursor.execute(_UNPROCESSED, parameters)
        return [listed[place] for (place,) in cursor.fetchall()]


def unknown_digests(listed: Sequence[ListedObject], *, bucket: str) -> list[ListedObject]:
    """Return those digests of the bucket that are not stored."""
    keys = [one.key.text for one in listed]
    stored = TrailDigest.objects.filter(bucket=bucket, key__in=keys)
    known = set(stored.values_list("key", flat=True))
    return [one for one in listed if one.key.text not in known]


def save_findings(findings: Iterable[NewAuditFinding]) -> None:
    """Store what is wrong, and count what was not known to be wrong already."""
    rows = sorted(set(findings))
    if not rows:
        return
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_SAVE, [clock.now(), *columns])
        reasons = [reason for (reason,) in cursor.fetchall()]
    UNPROCESSED.inc(reasons.count(AuditFinding.Reason.LOG_UNPROCESSED))
    MISSING.inc(reasons.count(AuditFinding.Reason.LOG_MISSING))


def resolve(files: Collection[tuple[str, str, str]]) -> set[str]:
    """Note that files, named by account, region and key, were processed.

    Returns the keys of those that had been found unprocessed, or missing.
    """
    if not files:
        return set()
    columns = [list(column) for column in zip(*sorted(files), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_RESOLVE, [clock.now(), *columns])
        return {key for (key,) in cursor.fetchall()}


def resolve_digests(digests: Collection[tuple[str, str, datetime, datetime]]) -> None:
    """Note that digests, named by account, region and the time that they cover, have come."""
    if digests:
        columns = [list(column) for column in zip(*sorted(digests), strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(_RESOLVE_DIGESTS, [clock.now(), *columns])


def to_requeue(keys: Collection[str], *, bucket: str) -> set[str]:
    """Return which of some objects are unprocessed, and were not queued again a moment ago."""
    open_ones = AuditFinding.objects.filter(
        bucket=bucket,
        key__in=keys,
        reason=AuditFinding.Reason.LOG_UNPROCESSED,
        resolved_at=None,
    )
    waiting = Q(requeued_at=None) | Q(requeued_at__lt=postgres.now() - REQUEUE_AGAIN_AFTER)
    return set(open_ones.filter(waiting).values_list("key", flat=True))


def note_requeued(keys: Collection[str], *, bucket: str) -> None:
    """Note that messages about objects were sent."""
    AuditFinding.objects.filter(bucket=bucket, key__in=keys, resolved_at=None).update(
        requeued_at=postgres.now()
    )


def days_to_audit(today: date, *, most: int) -> list[date]:
    """Return the days whose files are to be compared, oldest first: the last two, and any before.

    Earlier ones are those that were not audited for the last time, because we, or S3, were away;
    ``most`` days ago at most.
    """
    yesterday = today - timedelta(days=1)
    first = AuditedDay.objects.aggregate(first=Min("day"))["first"] or yesterday
    oldest = max(min(first, today - timedelta(days=2)), today - timedelta(days=most))
    days = [oldest + timedelta(days=number) for number in range((today - oldest).days)]
    closed = set(
        AuditedDay.objects.filter(day__in=days, closed_at__isnull=False).values_list(
            "day", flat=True
        )
    )
    return [day for day in days if day not in closed or day >= today - timedelta(days=2)]


def note_audited(day: date, *, listed: int, since: datetime, close: bool) -> None:
    """Note that all files of a day were compared, in a walk that began at ``since``.

    With ``close`` it was for the last time, so the names of the files are not needed any more.
    """
    AuditedDay.objects.update_or_create(
        day=day, defaults={"audited_at": since, "objects_listed": listed}
    )
    if close:
        _forget_names(day, since)
        AuditedDay.objects.filter(day=day).update(closed_at=since)


def _forget_names(day: date, since: datetime) -> None:
    midnight = datetime.combine(day, time(), UTC)
    parameters: list[Any] = [since, midnight, midnight + timedelta(days=1), HOURS_AT_ONCE]
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_FORGET_NAMES, parameters)
            if cursor.rowcount < HOURS_AT_ONCE:
                return
