"""From an instance's events to its runs (spec 07 §3). Pure: plain data in, plain data out."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

Instant = int
"""A moment in UTC: whole microseconds since 1970-01-01T00:00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

POWER_ON = "power_on"
POWER_OFF = "power_off"

TimelineEvent = tuple[Instant, int, str, str | None]
"""Something that happened to an instance: when, rank, what, and the instance type that it tells.

Types of events other than the two above switch nothing. Of events of one instant those of a lower
rank come first: a launch, then what may happen between, then a termination (decision 37). What has
the same rank too goes by the order in which it was stored.
"""


def instant_of(moment: datetime) -> Instant:
    """Return an aware moment as an instant."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(instant: Instant) -> datetime:
    """Return an instant as an aware moment in UTC."""
    return _EPOCH + instant * _MICROSECOND


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


NOTHING_KNOWN = Latest(None, None, None)

_instant = itemgetter(0)


class Course:
    """The course of one instance, read from all its events in their order, and read once.

    Of the events nothing is kept but what the open run needs: an instance may have any number of
    them (decision 43).
    """

    def __init__(self, events: Iterable[TimelineEvent]) -> None:
        self._events = events
        self._is_on: bool | None = None
        self._since: Instant | None = None
        self._type: str | None = None
        self._start: Instant | None = None
        """Of the run that is open, as the next three."""
        self._first_type: str | None = None
        self._last_type: str | None = None
        self._resizes: list[tuple[Instant, str]] = []

    @property
    def latest(self) -> Latest:
        """The state of the instance, once ``runs`` has come to its end."""
        return Latest(self._is_on, self._since, self._type)

    def runs(self) -> Iterator[PowerRun]:
        """Yield the runs, oldest first, no two of which start at one instant.

        Repeated events make no difference. Each run has the newest instance type known at its
        start, and the changes of type while it was on, which do not split it. A run without length
        that another one follows at the same instant is part of that one: it would be counted
        nowhere but where that one is.
        """
        for at, events in groupby(self._events, key=_instant):
            yield from self._ended_at(at, events)
            self._note_type(at)
        if self._start is not None:
            yield self._open_run(None)

    def _ended_at(self, at: Instant, events: Iterable[TimelineEvent]) -> Iterator[PowerRun]:
        """Read all events of one instant; yield the runs that end then."""
        ended_at_once = False
        for _, _, event_type, instance_type in events:
            if instance_type is not None:
                self._type = instance_type
            if event_type == POWER_ON:
                self._is_on, self._since = True, at
                if self._start is None:
                    self._start, ended_at_once = at, False
            elif event_type == POWER_OFF:
                self._is_on, self._since = False, at
                if self._start == at:
                    ended_at_once = True
                elif self._start is not None:
                    yield self._open_run(at)
                self._start = None
        if ended_at_once:
            yield PowerRun(at, at, self._type)

    def _note_type(self, at: Instant) -> None:
        """Note the type that the open run has from an instant on, whose events were all read."""
        if self._start == at:
            self._first_type = self._last_type = self._type
            self._resizes = []
        elif self._start is not None and self._type is not None and self._type != self._last_type:
            self._last_type = self._type
            self._resizes.append((at, self._type))

    def _open_run(self, end: Instant | None) -> PowerRun:
        assert self._start is not None
        return PowerRun(self._start, end, self._first_type, tuple(self._resizes))
