"""What must change for stored runs to become the right ones, and which days that touches. Pure.

Stored and right runs are gone through side by side, in order, so that neither has to be in memory
together (decision 43).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from api.metering.concurrency import day_of
from api.metering.days import Days
from api.metering.timeline import Instant

CHARACTERS_AS_A_RUN = 200
"""So many characters of a run's changes of type take as much memory as a run."""


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

    @property
    def weight(self) -> int:
        """About how much memory this takes: 1 without changes of type."""
        return 1 + len(self.resizes or "") // CHARACTERS_AS_A_RUN


class StoredRun(NamedTuple):
    """A run as it is stored."""

    instance_id: int
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
    size: int = 0
    """About how much there is to write: one for a run, and one for some changes of type in it."""

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self.added or self.changed or self.resized or self.removed)

    def compare(self, old: StoredRun | None, run: WantedRun | None) -> None:
        """Add what makes the one become the other; None where there is none.

        A stored run that has an image keeps it while its start and its end stay the same (spec 07
        §3.2).
        """
        if run is None:
            if old is not None:
                self._remove(old)
        elif old is None:
            self._add(run)
        elif run.facts != old.facts:
            facts = run.facts
            if old.facts.image_id is not None and old.facts.end == facts.end:
                facts = facts._replace(image_id=old.facts.image_id)
            if facts != old.facts:
                self._change(old, facts)

    def _add(self, run: WantedRun) -> None:
        self.added.append(run)
        self.size += run.facts.weight
        if run.facts.image_id is not None:
            self.days_of_added.append(days_between(run.start, run.facts.end))

    def _change(self, old: StoredRun, facts: RunFacts) -> None:
        self.size += facts.weight
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
        self.size += 1
        if old.facts.image_id is not None:
            self.days_of_removed.append(days_between(old.start, old.facts.end))


def side_by_side(
    stored: Iterable[StoredRun], wanted: Iterable[WantedRun]
) -> Iterator[tuple[StoredRun | None, WantedRun | None]]:
    """Yield each stored run with the one that it should be, or None in place of either.

    Both are ordered by instance and start. Runs of one instance that start at the same moment are
    the same run: it keeps its id. An instance's run without an end comes after all others of the
    instance, since the database takes no second one.
    """
    waiting = iter(stored)
    old = next(waiting, None)
    for run in wanted:
        place = run.instance_id, run.start
        while old is not None and (old.instance_id, old.start) < place:
            yield old, None
            old = next(waiting, None)
        same = None
        if old is not None and (old.instance_id, old.start) == place:
            same, old = old, next(waiting, None)
        while run.facts.end is None and old is not None and old.instance_id == run.instance_id:
            yield old, None
            old = next(waiting, None)
        yield same, run
    while old is not None:
        yield old, None
        old = next(waiting, None)


def days_between(start: Instant, end: Instant | None) -> Days:
    """Return the days that a run touches, also the one at whose first moment it ends (07 §5.1)."""
    return Days(day_of(start), None if end is None else day_of(end))
