"""The chain of hourly digests of an account's region, and the holes in it (spec 10 §2). Pure.

A hole is told hour by hour, so that each digest that comes late closes its own.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import pairwise

from api.clouds.aws.spans import MeteredSpan, clip, merge

HOUR = timedelta(hours=1)


def holes(digests: Iterable[MeteredSpan], within: MeteredSpan) -> Iterator[MeteredSpan]:
    """Yield the times, an hour each at most, that no digest covers.

    Nothing is missing before the first digest of all: log validation was not on yet.
    """
    spans = merge(digests)
    if not spans:
        return
    missing = [MeteredSpan(before.end, after.start) for before, after in pairwise(spans)]
    missing.append(MeteredSpan(spans[-1].end, within.end))
    for hole in missing:
        yield from _hours(clip(hole, within))


def _hours(hole: MeteredSpan) -> Iterator[MeteredSpan]:
    start = hole.start
    while start < hole.end:
        end = min(start + HOUR, hole.end)
        yield MeteredSpan(start, end)
        start = end
