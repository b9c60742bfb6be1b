"""The rules of spec 07 §3 and §5 once more, written as literally and as slowly as they read.

Nothing is shared with ``api.metering``: days are walked one by one, keys counted one by one.
"""

import datetime
from dataclasses import dataclass

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class ReferenceRun:
    start: datetime.datetime
    end: datetime.datetime | None
    facets: tuple[str, str, str, str, str] | None = None
    """None: the image is unknown or not RHEL."""


def in_order(events):
    """Return events, (occurred_at, event_type, source_name, ...) as inserted, as they count."""
    ordered = []
    for instant in sorted({event[0] for event in events}):
        of_instant = [event for event in events if event[0] == instant]
        launches = [event for event in of_instant if event[2] == "RunInstances"]
        ends = [event for event in of_instant if event[2] in TERMINATIONS]
        others = [event for event in of_instant if event not in launches and event not in ends]
        ordered += launches + others + ends
    return ordered


TERMINATIONS = ("TerminateInstances", "TerminateInstanceInAutoScalingGroup")


def expected_runs(events):
    """Events are (occurred_at, event_type, source_name) in order of insertion."""
    running_since = None
    runs = []
    for at, kind, *_ in in_order(events):
        if running_since is None and kind == "power_on":
            running_since = at
        elif running_since is not None and kind == "power_off":
            runs.append((running_since, at))
            running_since = None
    if running_since is not None:
        runs.append((running_since, None))
    # Of runs that start at one instant the last is the longest, and stands for all.
    return list({start: (start, end) for start, end in runs}.values())


def expected_type(events, start):
    """Events are (occurred_at, event_type, source_name, instance_type) in order of insertion."""
    types = [event[3] for event in in_order(events) if event[0] <= start and event[3]]
    return types[-1] if types else None


def keys(facets):
    arch, role, sla, usage, service_type = facets
    return {
        (a, r, s, u, t)
        for a, r in [("_ANY", "_ANY"), (arch, "_ANY"), ("_ANY", role)]
        for s in ["_ANY", sla]
        for u in ["_ANY", usage]
        for t in ["_ANY", service_type]
    }


def expected_counts(runs, day):
    """Walk the runs of one day once for each key."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    touching = [
        run
        for run in runs
        if run.start < midnight + DAY and (run.end is None or run.end >= midnight)
    ]
    counted = [run for run in touching if run.facets is not None]
    return {
        key: largest([run for run in counted if key in keys(run.facets)])
        for key in set().union(*(keys(run.facets) for run in counted))
    }


def largest(runs):
    """Return the largest number of runs on at one moment."""
    instants = sorted({run.start for run in runs} | {run.end for run in runs if run.end})
    on = largest = 0
    for instant in instants:
        on -= sum(1 for run in runs if run.end == instant and run.start < instant)
        if any(run.start == run.end == instant for run in runs):
            largest = max(largest, on + 1)
        for run in runs:
            if run.start == instant and run.end != instant:
                on += 1
                largest = max(largest, on)
    return largest
