"""What a subscription looked like in one poll, and what follows from it and what does not. Pure.

What Azure showed counts, whatever else failed. What is concluded from absence needs the lists that
would have shown it (decisions 33 and 51).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from api.clouds.azure import transform
from api.clouds.azure.errors import AzureBusyError, AzureLoginError, Problem
from api.clouds.azure.transform import (
    ImageKey,
    Machine,
    MalformedEntryError,
    ScaleSet,
    scale_set_of,
)
from api.models import DescribeRun

MALFORMED = "MalformedEntry"


@dataclass(slots=True)
class Scan:
    """What a subscription, or one scale set of it, looked like."""

    machines: dict[str, Machine] = field(default_factory=dict)
    """By ``Machine.key``, in the order in which Azure listed them."""
    states: dict[str, bool | None] = field(default_factory=dict)
    """By the same, also of machines that are not in ``machines``: whether the machine is running,
    None where Azure does not say."""
    scale_sets: dict[str, ScaleSet] = field(default_factory=dict)
    """By ``ScaleSet.key``."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why the machines of a scale set could not be listed, by the key of the scale set."""
    architectures: dict[ImageKey, str] = field(default_factory=dict)
    """Of images whose architecture we did not know before."""
    problems: list[Problem] = field(default_factory=list)
    """Why lists of the subscription are missing, in the order of asking."""
    has_all_machines: bool = True
    """Whether the lists of machines and of their states came to their ends."""
    has_all_scale_sets: bool = True
    """Whether the list of scale sets came to its end."""
    malformed: int = 0
    disputed: set[str] = field(default_factory=set)
    """Machines that were listed twice, once as running and once not: of their states nothing is
    certain."""
    vm_ids: set[str] = field(default_factory=set)
    """Of the listed machines; they tell one that is listed under two resource ids."""

    @property
    def outcome(self) -> str:
        """How the record of the poll names it.

        A scale set that cannot be read spoils nothing but what is said of its own machines.
        """
        if self.problems:
            return self.problems[0].outcome
        return DescribeRun.Outcome.FAILED if self.malformed else DescribeRun.Outcome.OK

    @property
    def error_code(self) -> str:
        """Name what went wrong; empty if nothing did."""
        if self.problems:
            return self.problems[0].code
        return MALFORMED if self.malformed else ""

    @property
    def running(self) -> int:
        """Count the listed machines that are running."""
        return sum(self.states.get(key) is True for key in self.machines)

    def problem_to_repeat_for(self) -> Problem | None:
        """Return a reason to poll again soon, of several that which asks for the longest wait."""
        busy = [problem for problem in self.problems if isinstance(problem, AzureBusyError)]
        if busy:
            return max(busy, key=lambda problem: problem.retry_after or 0)
        return next((one for one in self.problems if isinstance(one, AzureLoginError)), None)

    def is_gone(self, key: str) -> bool:
        """Check whether a machine that there was before exists no more.

        It does not if nothing shows it, and all lists are there that would have.
        """
        if not self.has_all_machines or key in self.machines or key in self.states:
            return False
        scale_set = scale_set_of(key)
        if scale_set is None:
            return True
        return self.has_all_scale_sets and scale_set not in self.unreadable

    def has_moved(self, key: str, vm_id: str | None) -> bool:
        """Check whether a machine that there was before has another resource id now.

        This is shown, not concluded by absence, so it holds whatever could not be read.
        """
        return vm_id in self.vm_ids and key not in self.machines and key not in self.states

    def add_machine(self, entry: Any) -> None:
        """Add a machine, unless the id is known; what has none is counted."""
        try:
            self._add(transform.machine(entry))
        except MalformedEntryError:
            self.malformed += 1
            self.has_all_machines = False

    def add_state(self, entry: Any) -> None:
        """Add the state of a machine; what has no id is counted."""
        try:
            key = transform.resource_id_of(entry).lower()
        except MalformedEntryError:
            self.malformed += 1
            self.has_all_machines = False
        else:
            self._tell(key, transform.is_running(entry))

    def add_scale_set(self, entry: Any) -> None:
        """Add a scale set; what has no usable id is counted."""
        try:
            scale_set = transform.scale_set(entry)
        except MalformedEntryError:
            self.malformed += 1
            self.has_all_scale_sets = False
        else:
            self.scale_sets[scale_set.key] = scale_set

    def add_member(self, entry: Any) -> None:
        """Add a machine of a scale set with its state, which V4 tells together."""
        try:
            machine = transform.machine(entry)
        except MalformedEntryError:
            self.malformed += 1
        else:
            self._add(machine)
            self._tell(machine.key, transform.is_running(entry))

    def add_part(self, scale_set: ScaleSet, part: "Scan", problem: Problem | None) -> None:
        """Add the machines of a scale set, without those that are listed by themselves too.

        ``problem`` is why they are not all, if they are not.
        """
        for key, machine in part.machines.items():
            if key not in self.machines and machine.vm_id not in self.vm_ids:
                self._add(machine)
                self._tell(key, part.states.get(key))
        if problem is not None:
            self.unreadable[scale_set.key] = problem.code
        elif part.malformed or not all(_is_of(scale_set, key) for key in part.machines):
            # Some machine of the set goes by another name, or none.
            self.unreadable[scale_set.key] = MALFORMED

    def lose_machines(self, problem: Problem) -> None:
        """Note that the list of machines or that of states, or the whole poll, broke off."""
        self.has_all_machines = False
        self._note(problem)

    def lose_scale_sets(self, problem: Problem) -> None:
        """Note that the list of scale sets broke off."""
        self.has_all_scale_sets = False
        self._note(problem)

    def _add(self, machine: Machine) -> None:
        self.machines.setdefault(machine.key, machine)
        if machine.vm_id:
            self.vm_ids.add(machine.vm_id)

    def _tell(self, key: str, running: bool | None) -> None:
        """Note a machine's state, of which another entry may have told already."""
        known = self.states.setdefault(key, running)
        if key in self.disputed or running is None or known is running:
            return
        if known is None:
            self.states[key] = running
        else:
            self.disputed.add(key)
            self.states[key] = None

    def _note(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _is_of(scale_set: ScaleSet, key: str) -> bool:
    """Check whether a machine's id names this scale set."""
    named = scale_set_of(key) or ""
    return named.rpartition("/")[2] == scale_set.key.rpartition("/")[2]


def images_of(machines: Iterable[Machine]) -> dict[ImageKey, Machine]:
    """Return each image with the first machine that has it."""
    found: dict[ImageKey, Machine] = {}
    for machine in machines:
        if machine.image_key is not None:
            found.setdefault(machine.image_key, machine)
    return found
