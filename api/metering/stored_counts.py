"""The counts of a customer's days as they are stored, read a few megabytes at a time."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from django.db import connection

from util.batches import PIECE, batched_by_size

BYTES_AT_ONCE = 4 * PIECE
"""Bytes of counts that are in memory together, unless one day alone has more (decision 43)."""

_DAYS = """
SELECT date, revision, maximum_counts::text AS counts
FROM api_concurrentusage
WHERE user_id = %s AND date = ANY(%s)
"""


def measured(days: str) -> str:
    """Return SQL for the date, revision and bytes of counts of what a query of days selects.

    The counts themselves come with them if all together have no more bytes than its last parameter.
    PostgreSQL writes each day's text once, on disk where it is long. It is Python that puts the
    days in order: PostgreSQL would copy all texts once more.
    """
    return f"""
WITH measured AS MATERIALIZED ({days})
SELECT date, revision, octet_length(counts),
       CASE WHEN (SELECT sum(octet_length(counts)) FROM measured) <= %s THEN counts END
FROM measured
"""  # noqa: S608 - made of constants


_MEASURED = measured(_DAYS)


class StoredCounts(NamedTuple):
    """A day's revision, and its counts as PostgreSQL writes them."""

    revision: int
    counts: str


class _Measured(NamedTuple):
    day: date
    revision: int
    size: int
    counts: str | None


def stored_counts(user_id: int, days: Sequence[date]) -> Iterator[StoredCounts | None]:
    """Yield what is stored of each of some days, which ascend; None for a day without a row.

    One query unless it is large. To be used up under the customer's metering lock, so that nobody
    else writes them meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED, [user_id, list(days), BYTES_AT_ONCE])
        stored = [_Measured(*row) for row in sorted(cursor.fetchall())]
    found = _read(user_id, stored)
    known = {one.day for one in stored}
    for day in days:
        yield next(found) if day in known else None


def _read(user_id: int, stored: Sequence[_Measured]) -> Iterator[StoredCounts]:
    batches = batched_by_size(
        stored, size_of=lambda one: one.size, limit=BYTES_AT_ONCE, most=len(stored)
    )
    for batch in batches:
        texts = {one.day: one.counts for one in batch if one.counts is not None}
        left = [one.day for one in batch if one.counts is None]
        if left:
            with connection.cursor() as cursor:
                cursor.execute(_DAYS, [user_id, left])
                texts.update((day, counts) for day, _, counts in cursor.fetchall())
        for one in batch:
            # Taken out, a day's text does not outlive its turn.
            yield StoredCounts(one.revision, texts.pop(one.day))
