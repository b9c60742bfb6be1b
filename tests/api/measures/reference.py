"""The rules of spec 11 §1 once more, counted second by second. Shares nothing with the product."""

import datetime
from collections import defaultdict
from dataclasses import dataclass, field

from tests.api.metering import reference as metering

SECOND = datetime.timedelta(seconds=1)


@dataclass
class Machine:
    """An instance of an image that counts, with its events: (moment, type of event, type)."""

    labels: dict
    events: list = field(default_factory=list)
    cpus: int | None = None
    """By CPU options, which were seen beside the first type."""

    def runs(self):
        return metering.expected_runs([(at, kind, "") for at, kind, _ in self.events])

    def type_at(self, second):
        """The newest type of which an event in this second, or before it, tells."""
        known = [
            name
            for at, _, name in sorted(self.events, key=lambda one: one[0])
            if name and at < second + SECOND
        ]
        return known[-1] if known else None


def measures(machines, begin, end, *, now, sizes):
    """Sums and peaks of a bucket by the label ``group``, each second looked at alone."""
    found = defaultdict(lambda: defaultdict(int))
    for machine in machines:
        group = machine.labels["group"]
        first_type = next((name for _, _, name in sorted(machine.events) if name), None)
        for start, stop in machine.runs():
            second = begin
            while second < min(end, now.replace(microsecond=0)):
                if start.replace(microsecond=0) <= second and (
                    stop is None or second < stop.replace(microsecond=0)
                ):
                    name = machine.type_at(second)
                    vcpu, memory = sizes.get(name, (0, None))
                    if machine.cpus is not None and name == first_type:
                        vcpu = machine.cpus
                    row = found[group]
                    row["instance_seconds"] += 1
                    row["vcpu_seconds"] += vcpu
                    row["memory_mib_seconds"] += memory or 0
                    row["unsized_seconds"] += memory is None
                second += SECOND
    for group in {machine.labels["group"] for machine in machines}:
        peak = peak_of(
            [run for one in machines if one.labels["group"] == group for run in one.runs()],
            begin,
            end,
            now,
        )
        if peak:
            found[group]["peak"] = peak
    return found


def peak_of(runs, begin, end, now):
    """Walk the moments of a bucket at which anything changes."""
    touching = [
        metering.ReferenceRun(start, stop)
        for start, stop in runs
        if start < end and start <= now and (stop is None or stop >= begin)
    ]
    return metering.largest(touching)
