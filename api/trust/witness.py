"""Which runs make the largest number of runs on at once on one day (spec 10 §1).

The walk is that of ``api.metering.concurrency`` (spec 07 §5.2), for one key, with the runs kept.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from api.metering.concurrency import DAY, start_of
from api.metering.timeline import Instant


class Candidate(NamedTuple):
    """A run that counts for the key: its id, its start, and its end or None."""

    run_id: int
    start: Instant
    end: Instant | None


class Peak(NamedTuple):
    """The first moment of a day at which the largest number is reached.

    ``members`` are the runs that are on then, in the order of their starts and ids. ``until`` is
    when the number falls for the first time after that; None if it does not on that day.
    """

    members: list[Candidate]
    since: Instant | None
    until: Instant | None
    carried_over: int


def peak_of_day(runs: Iterable[Candidate], day: date) -> Peak:
    """Return the peak of a UTC day.

    Runs may come in any order and may lie outside the day. Runs that end at the day's first moment
    are on in it. At one instant ends come first, then runs without length, one by one in the order
    of their ids, then starts.
    """
    begin = start_of(day)
    before, starts, ends = _split(runs, begin, begin + DAY)
    most = on = len(before)
    # How many starts and ends come before the peak; at first it is the state at midnight.
    at_peak = (0, 0)
    ended = 0
    for number, run in enumerate(starts, 1):
        while ended < len(ends) and _end(ends[ended]) <= run.start:
            ended += 1
            on -= 1
        on += 1
        if on > most:
            most, at_peak = on, (number, ended)
        if run.end == run.start:
            on -= 1
    return _peak(before, starts[: at_peak[0]], ends, at_peak[1], begin)


def _split(
    runs: Iterable[Candidate], begin: Instant, limit: Instant
) -> tuple[list[Candidate], list[Candidate], list[Candidate]]:
    """Return the runs on at the day's beginning, those that start on it, those that end on it."""
    before: list[Candidate] = []
    starts: list[Candidate] = []
    ends: list[Candidate] = []
    for run in runs:
        if run.start >= limit or (run.end is not None and run.end < begin):
            continue
        (before if run.start < begin else starts).append(run)
        if run.end is not None and run.end < limit and run.end != run.start:
            ends.append(run)
    starts.sort(key=lambda run: (run.start, run.end != run.start, run.run_id))
    ends.sort(key=_end)
    return before, starts, ends


def _end(run: Candidate) -> Instant:
    assert run.end is not None
    return run.end


def _peak(
    before: list[Candidate],
    started: list[Candidate],
    ends: list[Candidate],
    ended: int,
    begin: Instant,
) -> Peak:
    """Return the peak that lies behind the last of the runs that have started."""
    gone = {run.run_id for run in ends[:ended]}
    last = started[-1] if started else None
    on = [run for run in before if run.run_id not in gone]
    # Of the runs without length only the last can be on.
    on += [
        run for run in started if run.run_id not in gone and (run.end != run.start or run is last)
    ]
    on.sort(key=lambda run: (run.start, run.run_id))
    if not on:
        return Peak([], None, None, 0)
    if last is not None and last.end == last.start:
        until: Instant | None = last.end
    else:
        until = _end(ends[ended]) if ended < len(ends) else None
    carried_over = sum(1 for run in on if run.start < begin)
    return Peak(on, begin if last is None else last.start, until, carried_over)
