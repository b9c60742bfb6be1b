"""From an instance's events to its runs (spec 07 §3). Pure: plain data in, plain data out."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

Instant = int
"""A moment in UTC: whole microseconds since 1970-01-01T00:00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

POWER_ON = "power_on"
POWER_OFF = "power_off"


def instant_of(moment: datetime) -> Instant:
    """Return an aware moment as an instant."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(instant: Instant) -> datetime:
    """Return an instant as an aware moment in UTC."""
    return _EPOCH + instant * _MICROSECOND


class TimelineEvent(NamedTuple):
    """Something that happened to an instance; types other than the two above switch nothing.

    Of events of one instant those of a lower ``rank`` come first: a launch, then what may happen
    between, then a termination (decision 37).
    """

    at: Instant
    rank: int
    event_type: str
    instance_type: str | None


class PowerRun(NamedTuple):
    """A span of time in which an instance was on; without an end while it still is."""

    start: Instant
    end: Instant | None
    instance_type: str | None
    resizes: tuple[tuple[Instant, str], ...] = ()
    """The types that the instance got while it was on, each with the moment of the change."""


class Latest(NamedTuple):
    """What the newest events of an instance say; None for what none of them tells."""

    is_on: bool | None
    since: Instant | None
    instance_type: str | None


_instant_and_rank = itemgetter(0, 1)


def latest_from_events(events: Iterable[tuple[Instant, int, str, str | None]]) -> Latest:
    """Return the state of one instance, of whose events ``runs_from_events`` tells the rest."""
    is_on: bool | None = None
    since: Instant | None = None
    known: str | None = None
    ordered = sorted(events, key=_instant_and_rank)
    for at, _, event_type, instance_type in reversed(ordered):
        if known is None:
            known = instance_type
        if since is None and event_type in (POWER_ON, POWER_OFF):
            is_on, since = event_type == POWER_ON, at
        if known is not None and since is not None:
            break
    return Latest(is_on, since, known)


def runs_from_events(
    events: Iterable[tuple[Instant, int, str, str | None]],
) -> list[PowerRun]:
    """Return the runs of one instance, oldest first, no two of which start at one instant.

    ``events`` are all events of the instance (tuples shaped like ``TimelineEvent``) in the order in
    which they were stored; that order decides between events of one instant and rank. Repeated
    events, and events that arrived late, make no difference. Each run has the newest instance type
    known at its start, and the changes of type while it was on, which do not split it. A run
    without length that another one follows at the same instant is part of that one: it would be
    counted nowhere but where that one is.
    """
    ordered = sorted(events, key=_instant_and_rank)
    known: str | None = None
    type_at: dict[Instant, str | None] = {}
    changes: dict[Instant, str] = {}
    for at, _, _, instance_type in ordered:
        if instance_type is not None and instance_type != known:
            changes[at] = known = instance_type
        type_at[at] = known

    runs: list[PowerRun] = []
    start: Instant | None = None
    for at, _, event_type, _ in ordered:
        if event_type == POWER_ON:
            if start is None:
                start = at
                if runs and runs[-1].start == at:
                    runs.pop()
        elif event_type == POWER_OFF and start is not None:
            runs.append(PowerRun(start, at, type_at[start]))
            start = None
    if start is not None:
        runs.append(PowerRun(start, None, type_at[start]))
    if runs and changes and next(reversed(changes)) > runs[0].start:
        moments = list(changes)
        return [run._replace(resizes=_resizes(run, moments, changes)) for run in runs]
    return runs


def _resizes(
    run: PowerRun, moments: Sequence[Instant], changes: Mapping[Instant, str]
) -> tuple[tuple[Instant, str], ...]:
    """Return the changes of type after a run's start and before its end.

    ``changes`` are those of the instance, with the last type of each instant; ``moments`` are these
    instants, the oldest first. An instance may have many of both, so only the run's own are looked
    at.
    """
    resizes: list[tuple[Instant, str]] = []
    known = run.instance_type
    first = bisect_right(moments, run.start)
    limit = len(moments) if run.end is None else bisect_left(moments, run.end, lo=first)
    for at in moments[first:limit]:
        if changes[at] != known:
            known = changes[at]
            resizes.append((at, known))
    return tuple(resizes)
