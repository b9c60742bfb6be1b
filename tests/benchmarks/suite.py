"""How a benchmark is written, and how it is run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from tests.benchmarks.measure import Cost, measured

Step = Callable[[], Any]


@dataclass(frozen=True)
class Operation:
    """One thing to measure.

    ``prepare`` is run before each round and not measured; ``check`` gets what ``run`` returned and
    asserts that it is right. ``target`` says what the figures should not exceed, by the names of
    ``Cost``; ``total_cpu_s`` stands for processor time on both sides, ``p95_to_mean`` for how much
    longer than usual some of many take. Of the rounds the median
    counts, or another ``percentile``. What another process does is measured by ``run`` itself,
    which then returns the ``Cost``. ``bare_of`` names the operation, run before, of which this one
    is the bare work.
    """

    name: str
    run: Step
    prepare: Step | None = None
    check: Callable[[Any], None] | None = None
    target: dict[str, float] | None = None
    rounds: int = 3
    percentile: int = 50
    bare_of: str = ""


class Suite(ABC):
    """Operations on one set of data. Each suite starts with an empty database."""

    title: ClassVar[str]

    @abstractmethod
    def load(self) -> None:
        """Store the data; not measured."""

    @abstractmethod
    def operations(self) -> list[Operation]:
        """Return the operations, in the order in which they are run."""

    def unload(self) -> None:  # noqa: B027 - most have nothing to do
        """Stop what was started beside the data."""


@dataclass
class Result:
    """The medians, or another percentile, of an operation's rounds."""

    name: str
    suite: str
    rounds: int
    cost: Cost
    target: dict[str, float]
    bare_of: str = ""
    times_bare: float | None = None

    def compare(self, others: Iterable["Result"]) -> None:
        """Note how many times this bare work the whole work takes, in processor time."""
        for other in others:
            if other.name == self.bare_of:
                self.times_bare = other.total_cpu_s / self.total_cpu_s

    @property
    def total_cpu_s(self) -> float:
        """Processor time of the process and of PostgreSQL."""
        return self.cost.cpu_s + (self.cost.db_cpu_s or 0.0)

    @property
    def missed(self) -> list[str]:
        """The names of the figures that exceed their target."""
        figures = asdict(self.cost) | {"total_cpu_s": self.total_cpu_s}
        figures["p95_to_mean"] = (self.cost.p95_s or 0.0) / self.cost.wall_s
        return [name for name, most in self.target.items() if figures[name] > most]

    def as_json(self) -> dict[str, Any]:
        """Return the figures for build/bench.json."""
        figures = {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self.cost).items()
        }
        shown = {"name": self.name, "suite": self.suite, "rounds": self.rounds, **figures}
        if self.target:
            shown |= {"target": self.target, "missed": self.missed}
        if self.times_bare is not None:
            shown |= {"bare_of": self.bare_of, "times_bare": round(self.times_bare, 2)}
        return shown


def run(operation: Operation, suite: str, rounds: int | None = None) -> Result:
    """Measure an operation; raises AssertionError if it did not do what it should."""
    costs = []
    for _ in range(rounds or operation.rounds):
        if operation.prepare:
            operation.prepare()
        with measured() as cost:
            outcome = operation.run()
        costs.append(outcome if isinstance(outcome, Cost) else cost)
        if operation.check:
            operation.check(outcome)
    cost = _percentile(costs, operation.percentile)
    return Result(
        operation.name, suite, len(costs), cost, operation.target or {}, operation.bare_of
    )


def _percentile(costs: list[Cost], percentile: int) -> Cost:
    """Take each figure's smallest value that this part of the rounds did not exceed."""
    place = max(0, math.ceil(len(costs) * percentile / 100) - 1)
    summary = Cost()
    for name in asdict(summary):
        values = [getattr(cost, name) for cost in costs]
        setattr(summary, name, None if None in values else sorted(values)[place])
    return summary
