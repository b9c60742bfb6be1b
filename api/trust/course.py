"""How many runs are on at each time of a day (spec 12 §1.3); pure.

Runs without length are on at no time that lasts, so they are not seen here, though one may make the
day's maximum (``api.trust.witness``).
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from api.metering.concurrency import DAY, start_of
from api.metering.timeline import Instant
from api.trust.witness import Candidate


class CourseStep(NamedTuple):
    """From this instant on so many runs are on."""

    at: Instant
    on: int


def course_of_day(runs: Iterable[Candidate], day: date) -> list[CourseStep]:
    """Return the steps of a UTC day, the first at its beginning."""
    begin = start_of(day)
    limit = begin + DAY
    changes: dict[Instant, int] = defaultdict(int)
    for run in runs:
        start = max(run.start, begin)
        end = limit if run.end is None else min(run.end, limit)
        if start < end:
            changes[start] += 1
            changes[end] -= 1
    on = changes.pop(begin, 0)
    steps = [CourseStep(begin, on)]
    for at in sorted(at for at, change in changes.items() if change and at < limit):
        on += changes[at]
        steps.append(CourseStep(at, on))
    return steps


def thinned(steps: list[CourseStep], most: int) -> list[CourseStep]:
    """Return at most so many steps: of each stretch of time the step with the most runs on."""
    if len(steps) <= most:
        return steps
    begin, end = steps[0].at, steps[-1].at
    width = (end - begin) // most + 1
    highest: dict[int, CourseStep] = {}
    for step in steps:
        stretch = (step.at - begin) // width
        if stretch not in highest or step.on > highest[stretch].on:
            highest[stretch] = step
    return list(highest.values())
