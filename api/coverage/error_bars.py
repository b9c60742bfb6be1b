"""Between which numbers a day's maximum lies if some spans of time are unsure (spec 10 §2, §4).

The sweep of ``api.metering.concurrency`` is repeated with each unsure span taken as off, and once
more with each of them taken as on. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from api.metering.concurrency import Span, daily_peaks
from api.metering.facets import Facets
from api.metering.timeline import Instant

_IMAGE = 0
_ONE_KEY = {_IMAGE: Facets("", "", "", "", "")}
"""All runs count for the total alone, so they may share one image."""


class CountedRun(NamedTuple):
    """A run that counts: its instance, its start, and its end or None."""

    instance_id: int
    start: Instant
    end: Instant | None


class UnsureSpan(NamedTuple):
    """A span of time, without its end, in which nobody knows whether an instance was on."""

    instance_id: int
    since: Instant
    until: Instant


class Bars(NamedTuple):
    """The smallest and the largest number that a day's maximum may have had."""

    least: int
    most: int


def error_bars(
    runs: Sequence[CountedRun], unsure: Iterable[UnsureSpan], first_day: date, last_day: date
) -> dict[date, Bars]:
    """Return the bars of each UTC day from the first to the last, both included.

    ``runs`` are all runs that touch these days, and those that begin where an unsure span ends: a
    span of an instance that has none of them counts for nothing, since its image does not count.
    """
    spans = _by_instance(unsure)
    least = _peaks(_taken_as_off(runs, spans), first_day, last_day)
    most = _peaks(_taken_as_on(runs, spans), first_day, last_day)
    return {day: Bars(number, most[day]) for day, number in least.items()}


def _by_instance(unsure: Iterable[UnsureSpan]) -> dict[int, list[UnsureSpan]]:
    spans: dict[int, list[UnsureSpan]] = defaultdict(list)
    for span in unsure:
        if span.since < span.until:
            spans[span.instance_id].append(span)
    return spans


def _peaks(spans: Iterable[Span], first_day: date, last_day: date) -> dict[date, int]:
    days = daily_peaks(spans, _ONE_KEY, first_day, last_day)
    return {day: peaks[0][1] if peaks else 0 for day, peaks in days}


def _taken_as_off(
    runs: Iterable[CountedRun], spans: Mapping[int, Sequence[UnsureSpan]]
) -> Iterator[Span]:
    for run in runs:
        pieces = [(run.start, run.end)]
        for span in spans.get(run.instance_id, ()):
            pieces = [rest for piece in pieces for rest in _without(*piece, span)]
        for start, end in pieces:
            yield start, end, _IMAGE


def _without(
    start: Instant, end: Instant | None, span: UnsureSpan
) -> Iterator[tuple[Instant, Instant | None]]:
    """Yield what is left of a run if the instance was off in the span."""
    if start < span.since:
        yield start, span.since if end is None else min(end, span.since)
    if start >= span.until:
        yield start, end
    elif end is None or end > span.until:
        yield span.until, end


def _taken_as_on(
    runs: Iterable[CountedRun], spans: Mapping[int, Sequence[UnsureSpan]]
) -> Iterator[Span]:
    widened: dict[int, list[tuple[Instant, Instant | None]]] = defaultdict(list)
    for run in runs:
        if run.instance_id in spans:
            widened[run.instance_id].append((run.start, run.end))
        else:
            yield run.start, run.end, _IMAGE
    for instance_id, pieces in widened.items():
        pieces += [(span.since, span.until) for span in spans[instance_id]]
        for start, end in _joined(pieces):
            yield start, end, _IMAGE


def _joined(
    pieces: Iterable[tuple[Instant, Instant | None]],
) -> Iterator[tuple[Instant, Instant | None]]:
    """Yield spans of one instance so that none overlaps or touches another one."""
    ordered = sorted(pieces, key=lambda piece: piece[0])
    start, end = ordered[0]
    for next_start, next_end in ordered[1:]:
        if end is None:
            break
        if next_start <= end:
            end = None if next_end is None else max(end, next_end)
        else:
            yield start, end
            start, end = next_start, next_end
    yield start, end
