"""Hours, days and months of UTC, and which of them may be asked for at once (spec 11 §1, §5). Pure.

All moments are aware and in UTC.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

ONE_DAY = timedelta(days=1)
_ONE_HOUR = timedelta(hours=1)


class Granularity(StrEnum):
    """How long a bucket is."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


MOST_DAYS_OF_HOURS = 31
MOST_DAYS = 366
MOST_MONTHS = 60
MOST_DAYS_FROM_RUNS = 92
"""Of what is not stored by day but computed from runs."""

_MOST_BUCKETS = {
    Granularity.HOUR: MOST_DAYS_OF_HOURS * 24,
    Granularity.DAY: MOST_DAYS,
    Granularity.MONTH: MOST_MONTHS,
}


class Bucket(NamedTuple):
    """A time from its first moment until before its end."""

    begin: datetime
    end: datetime


class BucketsError(ValueError):
    """A time cannot be asked for; ``parameter`` (``start`` or ``end``) is what is wrong with it."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


def floor(moment: datetime, granularity: Granularity) -> datetime:
    """Return the first moment of the bucket that holds a moment."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if granularity == Granularity.HOUR:
        return hour
    day = hour.replace(hour=0)
    return day if granularity == Granularity.DAY else day.replace(day=1)


def following(begin: datetime, granularity: Granularity) -> datetime:
    """Return the first moment of the bucket after the one that begins at a moment."""
    if granularity == Granularity.HOUR:
        return begin + _ONE_HOUR
    if granularity == Granularity.DAY:
        return begin + ONE_DAY
    return (begin + 31 * ONE_DAY).replace(day=1)


def ceiling(moment: datetime, granularity: Granularity) -> datetime:
    """Return a moment on a boundary, and for others the end of the bucket that holds it."""
    begin = floor(moment, granularity)
    return begin if begin == moment else following(begin, granularity)


def buckets_between(
    start: datetime | None,
    end: datetime | None,
    granularity: Granularity,
    *,
    now: datetime,
) -> list[Bucket]:
    """Return the buckets from ``start`` until before ``end``.

    By default these are the bucket that holds yesterday's first moment, and those up to today's.
    Raises BucketsError for moments that lie on no boundary, for an end that lies before the start
    or more than one bucket after ``now``, and for more buckets than may be asked for.
    """
    today = floor(now, Granularity.DAY)
    start = floor(today - ONE_DAY, granularity) if start is None else start
    end = ceiling(today, granularity) if end is None else end
    for parameter, moment in (("start", start), ("end", end)):
        if floor(moment, granularity) != moment:
            raise BucketsError(parameter, f"Must be the first moment of a {granularity} in UTC.")
    if end > following(floor(now, granularity), granularity):
        raise BucketsError("end", f"Must not be more than one {granularity} after now.")
    if end < start:
        raise BucketsError("end", "Must not be before start.")
    return _buckets(start, end, granularity)


def _buckets(start: datetime, end: datetime, granularity: Granularity) -> list[Bucket]:
    most = _MOST_BUCKETS[granularity]
    found: list[Bucket] = []
    while start < end:
        if len(found) == most:
            raise BucketsError("end", _too_long(granularity))
        found.append(Bucket(start, following(start, granularity)))
        start = found[-1].end
    return found


def _too_long(granularity: Granularity) -> str:
    if granularity == Granularity.HOUR:
        return f"Must be at most {MOST_DAYS_OF_HOURS} days after start for granularity hour."
    most = _MOST_BUCKETS[granularity]
    return f"Must be at most {most} {granularity}s after start for granularity {granularity}."


def days_of(buckets: Sequence[Bucket]) -> float:
    """Return how many days buckets that follow each other are."""
    return (buckets[-1].end - buckets[0].begin) / ONE_DAY if buckets else 0
