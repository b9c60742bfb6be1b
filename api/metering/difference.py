"""What must change for stored runs to become the right ones, and which days that touches. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from api.metering.concurrency import day_of
from api.metering.days import Days
from api.metering.timeline import Instant


class RunFacts(NamedTuple):
    """What a run is, apart from whose it is and when it started."""

    end: Instant | None
    image_id: int | None
    instance_type: str | None
    vcpu: int | None
    memory: float | None
    cpus: int | None = None
    resizes: str | None = None

    @property
    def sizes(self) -> tuple[str | None, int | None, str | None]:
        """What the sums of a day depend on, beside the time (spec 11 §1)."""
        return self.instance_type, self.cpus, self.resizes

    @property
    def shown(self) -> tuple[object, ...]:
        """What the internal API shows of the run (spec 07 §1)."""
        return self[:5]


class StoredRun(NamedTuple):
    """A run as it is stored."""

    id: int
    start: Instant
    facts: RunFacts


class WantedRun(NamedTuple):
    """A run as it should be."""

    instance_id: int
    account_id: int
    start: Instant
    facts: RunFacts


@dataclass
class Difference:
    """What to write, with the days whose usage it may change.

    A run without an image counts nowhere, so it touches no day.
    """

    added: list[WantedRun] = field(default_factory=list)
    changed: list[tuple[int, RunFacts]] = field(default_factory=list)
    resized: list[tuple[int, RunFacts]] = field(default_factory=list)
    """Of these only sizes within the run changed, which the internal API does not show."""
    removed: list[int] = field(default_factory=list)
    days_of_added: list[Days] = field(default_factory=list)
    days_of_changed: list[Days] = field(default_factory=list)
    days_of_removed: list[Days] = field(default_factory=list)
    days_of_resized: list[Days] = field(default_factory=list)
    """Days whose sums change; their counts do not by this."""

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self.added or self.changed or self.resized or self.removed)

    def compare(self, stored: Iterable[StoredRun], wanted: Sequence[WantedRun]) -> None:
        """Add what one instance needs.

        Runs that start at the same moment are the same run: it keeps its id. A stored run that has
        an image keeps it while its start and its end stay the same (spec 07 §3.2).
        """
        by_start = {run.start: run for run in stored}
        for run in wanted:
            old = by_start.pop(run.start, None)
            if old is None:
                self._add(run)
                continue
            if run.facts == old.facts:
                continue
            facts = run.facts
            if old.facts.image_id is not None and old.facts.end == facts.end:
                facts = facts._replace(image_id=old.facts.image_id)
            if facts != old.facts:
                self._change(old, facts)
        for old in by_start.values():
            self._remove(old)

    def _add(self, run: WantedRun) -> None:
        self.added.append(run)
        if run.facts.image_id is not None:
            self.days_of_added.append(days_between(run.start, run.facts.end))

    def _change(self, old: StoredRun, facts: RunFacts) -> None:
        if facts.sizes != old.facts.sizes:
            self.days_of_resized.append(days_between(old.start, facts.end))
        if facts.shown == old.facts.shown:
            self.resized.append((old.id, facts))
            return
        self.changed.append((old.id, facts))
        if facts.image_id != old.facts.image_id:
            ends = (facts.end, old.facts.end)
            latest = None if None in ends else max(end for end in ends if end is not None)
            self.days_of_changed.append(days_between(old.start, latest))
        elif facts.end != old.facts.end and facts.image_id is not None:
            # Before the day of the earlier end nothing is different.
            first, last = sorted((facts.end, old.facts.end), key=lambda end: (end is None, end))
            assert first is not None
            self.days_of_changed.append(days_between(first, last))

    def _remove(self, old: StoredRun) -> None:
        self.removed.append(old.id)
        if old.facts.image_id is not None:
            self.days_of_removed.append(days_between(old.start, old.facts.end))


def days_between(start: Instant, end: Instant | None) -> Days:
    """Return the days that a run touches, also the one at whose first moment it ends (07 §5.1)."""
    return Days(day_of(start), None if end is None else day_of(end))
