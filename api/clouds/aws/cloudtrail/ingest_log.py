"""Load: what became of the files that we were told of (spec 09 P2, P3, P13).

Files that stored something, or failed, have a row of their own; all files of our accounts are
counted by account, region and hour of delivery. A file that comes again is not counted again.
"""

import json
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from api.clouds.aws.audit import store as audit_store
from api.clouds.aws.cloudtrail.filter import FileResult
from api.clouds.aws.cloudtrail.read import LogFile
from api.clouds.aws.cloudtrail.records import Skip
from api.models import IngestObject, TrailDigest
from util import clock

_SAVE_OBJECTS = """
INSERT INTO api_ingestobject AS known (
    bucket, key, etag, size, aws_account_id, region, delivered_at, announced_at, enqueued_at,
    outcome, records, relevant, oldest_event_at, newest_event_at,
    processed_at, stored, attempts, code_version)
SELECT file.*, %s, 0, 1, %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
            %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[],
            %s::integer[], %s::integer[], %s::timestamptz[], %s::timestamptz[]) AS file
ON CONFLICT (bucket, key) DO UPDATE
SET attempts = known.attempts + 1,
    processed_at = EXCLUDED.processed_at,
    outcome = CASE WHEN known.outcome = 'ok' THEN known.outcome ELSE EXCLUDED.outcome END,
    etag = EXCLUDED.etag,
    size = COALESCE(EXCLUDED.size, known.size),
    records = GREATEST(known.records, EXCLUDED.records),
    relevant = GREATEST(known.relevant, EXCLUDED.relevant),
    oldest_event_at = LEAST(known.oldest_event_at, EXCLUDED.oldest_event_at),
    newest_event_at = GREATEST(known.newest_event_at, EXCLUDED.newest_event_at),
    code_version = EXCLUDED.code_version
RETURNING bucket, key, id
"""

# A replay may store what was lost: a file has stored no more than there is in it.
_ADD_STORED = """
WITH before AS (
    SELECT object.id, object.stored, LEAST(
        object.stored + new.stored, GREATEST(object.stored, new.most)) AS sum
    FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) AS new (id, stored, most)
    JOIN api_ingestobject object USING (id)
)
UPDATE api_ingestobject object SET stored = before.sum
FROM before
WHERE object.id = before.id
RETURNING object.id, before.sum - before.stored
"""

_SEEN = """
SELECT hour.aws_account_id, hour.region, hour.hour, hour.seen, hour.audited_at
FROM api_ingesthour hour
JOIN unnest(%s::text[], %s::text[], %s::timestamptz[]) AS wanted (account, region, hour)
  ON hour.aws_account_id = wanted.account AND hour.region = wanted.region
 AND hour.hour = wanted.hour
"""

_COUNT = """
INSERT INTO api_ingesthour AS known (
    aws_account_id, region, hour, files, records, relevant, stored, duplicates, skipped,
    newest_event_at, largest_event_age, largest_queue_wait, seen)
SELECT * FROM unnest(
    %s::text[], %s::text[], %s::timestamptz[], %s::integer[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::jsonb[], %s::timestamptz[], %s::float8[], %s::float8[],
    %s::text[])
ON CONFLICT (aws_account_id, region, hour) DO UPDATE
SET files = known.files + EXCLUDED.files,
    records = known.records + EXCLUDED.records,
    relevant = known.relevant + EXCLUDED.relevant,
    stored = known.stored + EXCLUDED.stored,
    duplicates = known.duplicates + EXCLUDED.duplicates,
    skipped = (
        SELECT COALESCE(jsonb_object_agg(reason, number), '{}')
        FROM (
            SELECT reason, sum(number::bigint) AS number
            FROM (
                SELECT * FROM jsonb_each_text(known.skipped)
                UNION ALL
                SELECT * FROM jsonb_each_text(EXCLUDED.skipped)
            ) AS both_of_them (reason, number)
            GROUP BY reason
        ) AS summed
    ),
    newest_event_at = GREATEST(known.newest_event_at, EXCLUDED.newest_event_at),
    largest_event_age = GREATEST(known.largest_event_age, EXCLUDED.largest_event_age),
    largest_queue_wait = GREATEST(known.largest_queue_wait, EXCLUDED.largest_queue_wait),
    seen = CONCAT_WS(E'\\n', NULLIF(known.seen, ''), NULLIF(EXCLUDED.seen, ''))
"""


class _Hour(NamedTuple):
    account_id: str
    region: str
    start: datetime


@dataclass(slots=True)
class _Count:
    files: int = 0
    records: int = 0
    relevant: int = 0
    stored: int = 0
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    newest_event_at: datetime | None = None
    event_age: float | None = None
    queue_wait: float | None = None
    seen: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Counted:
    """Which files of an hour were counted: those named, and all until it was audited."""

    names: set[str]
    audited_at: datetime | None

    def includes(self, name: str, file: LogFile, found: Container[str]) -> bool:
        """Check whether a file was counted; ``found`` are keys that the audit found unprocessed."""
        if name in self.names:
            return True
        if self.audited_at is None or file.notified.key in found:
            return False
        announced_at = file.notified.announced_at
        return announced_at is None or announced_at <= self.audited_at


def save_objects(file_results: Iterable[FileResult]) -> None:
    """Store a row for each file that is for us, or failed, and note its id in the result."""
    wanted = {
        (one.file.notified.bucket, one.file.notified.key): one
        for one in file_results
        if one.file.outcome and (one.relevant or one.file.outcome != IngestObject.Outcome.OK)
    }
    if not wanted:
        return
    rows = [_object_row(wanted[name]) for name in sorted(wanted)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    version = settings.CLOUDIGRADE_VERSION or ""
    for bucket, key, object_id in _fetch(_SAVE_OBJECTS, [clock.now(), version, *columns]):
        wanted[bucket, key].object_id = object_id


def _object_row(file_result: FileResult) -> tuple[Any, ...]:
    file, times = file_result.file, file_result.event_times
    notified, key = file.notified, file.key
    return (
        notified.bucket,
        notified.key,
        file.etag or notified.etag,
        notified.size if file.size is None else file.size,
        key.account_id if key else "",
        key.region if key else "",
        key.delivered_at if key else None,
        notified.announced_at,
        file_result.message.sent_at,
        str(file.outcome),
        file.log.records if file.log else 0,
        file_result.relevant.relevant_count,
        min(times, default=None),
        max(times, default=None),
    )


def add_stored(file_results: Iterable[FileResult]) -> None:
    """Add to the files' rows how many events each of them has stored now."""
    by_id = {one.object_id: one for one in file_results if one.object_id and one.stored}
    if by_id:
        stored = [one.stored for one in by_id.values()]
        most = [len(one.relevant.instance_records) for one in by_id.values()]
        for object_id, counted in _fetch(_ADD_STORED, [list(by_id), stored, most]):
            by_id[object_id].counted = counted


def count_files(file_results: Sequence[FileResult]) -> None:
    """Count files and what was in them, by account, region and hour of delivery.

    Files of AWS accounts that we do not know are only counted in metrics: they would fill the
    table for whoever delivers them.
    """
    hours: dict[_Hour, list[FileResult]] = {}
    for file_result in file_results:
        if _is_counted(file_result.file):
            hours.setdefault(_hour(file_result), []).append(file_result)
    found = _resolve(file_results)
    if not hours:
        return
    counted = _counted(hours)
    rows = []
    for hour in sorted(hours):
        count = _Count()
        already = counted.get(hour, _Counted(set(), None))
        for file_result in hours[hour]:
            _add(count, file_result, already, found)
        rows.append((*hour, *_count_row(count)))
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, columns)


def _is_counted(file: LogFile) -> bool:
    if file.key is None or file.skip is Skip.UNKNOWN_ACCOUNT:
        return False
    return bool(file.outcome or file.skip)


def _hour(file_result: FileResult) -> _Hour:
    key = file_result.file.key
    assert key is not None
    moment = (
        key.delivered_at
        or file_result.file.notified.announced_at
        or file_result.message.sent_at
        or clock.now()
    )
    return _Hour(key.account_id, key.region, moment.replace(minute=0, second=0, microsecond=0))


def _resolve(file_results: Iterable[FileResult]) -> set[str]:
    """Note which files the audit need not miss any more; returns the keys of those it missed."""
    files = {
        (one.file.key.account_id, one.file.key.region, one.file.key.text)
        for one in file_results
        if one.file.key and one.file.outcome == IngestObject.Outcome.OK
    }
    return audit_store.resolve(files)


def _counted(hours: Iterable[_Hour]) -> dict[_Hour, _Counted]:
    columns = [list(column) for column in zip(*hours, strict=True)]
    return {
        _Hour(*row[:3]): _Counted(set(row[3].splitlines()), row[4])
        for row in _fetch(_SEEN, columns)
    }


def _add(count: _Count, file_result: FileResult, already: _Counted, found: set[str]) -> None:
    file, relevant = file_result.file, file_result.relevant
    assert file.key is not None
    count.stored += file_result.counted
    count.duplicates += len(relevant.instance_records) - file_result.stored
    name = file.key.packed_name
    if already.includes(name, file, found):
        return
    already.names.add(name)
    count.seen.append(name)
    count.files += 1
    count.relevant += relevant.relevant_count
    count.skipped.update(relevant.skipped)
    if file.log:
        count.records += file.log.records
    if file.skip:
        count.skipped[file.skip] += 1
    now = clock.now()
    if times := file_result.event_times:
        count.newest_event_at = max(filter(None, (count.newest_event_at, *times)))
        age = (now - min(times)).total_seconds()
        count.event_age = max(age, count.event_age or age)
    if file_result.message.sent_at:
        wait = (now - file_result.message.sent_at).total_seconds()
        count.queue_wait = max(wait, count.queue_wait or wait)


def _count_row(count: _Count) -> tuple[Any, ...]:
    return (
        count.files,
        count.records,
        count.relevant,
        count.stored,
        count.duplicates,
        json.dumps(count.skipped),
        count.newest_event_at,
        count.event_age,
        count.queue_wait,
        "\n".join(count.seen),
    )


def save_digests(file_results: Iterable[FileResult]) -> None:
    """Store what digests say, each once."""
    digests = [
        TrailDigest(
            aws_account_id=file_result.file.key.account_id,
            region=file_result.file.key.region,
            start=digest.start,
            end=digest.end,
            bucket=file_result.file.notified.bucket,
            key=file_result.file.notified.key,
            previous_key=digest.previous_key,
            file_names=digest.file_names,
        )
        for file_result in file_results
        if file_result.file.key and (digest := file_result.file.digest)
    ]
    if digests:
        TrailDigest.objects.bulk_create(digests, ignore_conflicts=True)
        audit_store.resolve_digests(
            {(one.aws_account_id, one.region, one.start, one.end) for one in digests}
        )


def _fetch(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
