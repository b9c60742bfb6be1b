"""What usage is counted by: five facets of an image and their combinations (spec 07 §5.1)."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

ANY = "_ANY"
"""Stands for every value of a facet."""


class Facets(NamedTuple):
    """The facets of a run's image; an unknown one is an empty text."""

    arch: str
    role: str
    sla: str
    usage: str
    service_type: str


Key = Facets
"""Facets of which some are ``ANY``: what a number of instances is reported for."""

TOTAL = Key(ANY, ANY, ANY, ANY, ANY)
"""The key of the total over everything."""


def keys_of(facets: Facets) -> list[Key]:
    """Return the keys that a run with these facets counts for, in the order of the spec.

    Architecture and role are never both concrete, so these are 24. Where a facet's own value reads
    like ``ANY`` some coincide; each is given once.
    """
    arch, role, sla, usage, service_type = facets
    pairs = ((ANY, ANY), (arch, ANY), (ANY, role))
    combinations = product(pairs, (ANY, sla), (ANY, usage), (ANY, service_type))
    return list(dict.fromkeys(Key(*pair, *others) for pair, *others in combinations))


class KeySpace:
    """The keys of a set of facets, numbered, and the counters that suffice for them.

    Keys that exactly the same facets count for always have the same number, so they share one
    counter: where all images agree on a facet, half of the counting falls away.
    """

    def __init__(self, facets: Sequence[Facets]) -> None:
        self.keys: list[Key] = []
        self.keys_of: list[list[int]] = []
        self.counters_of: list[tuple[int, ...]] = []
        self._number(facets)
        self._share(len(facets))

    def _number(self, facets: Sequence[Facets]) -> None:
        numbers: dict[Key, int] = {}
        for combination in facets:
            self.keys_of.append(
                [numbers.setdefault(key, len(numbers)) for key in keys_of(combination)]
            )
        self.keys = list(numbers)

    def _share(self, combinations: int) -> None:
        members: list[list[int]] = [[] for _ in self.keys]
        for combination, keys in enumerate(self.keys_of):
            for key in keys:
                members[key].append(combination)
        counters: dict[tuple[int, ...], int] = {}
        self.counter_of = [counters.setdefault(tuple(group), len(counters)) for group in members]
        self.number_of_counters = len(counters)
        counted: list[list[int]] = [[] for _ in range(combinations)]
        for group, counter in counters.items():
            for combination in group:
                counted[combination].append(counter)
        self.counters_of = [tuple(numbers) for numbers in counted]
