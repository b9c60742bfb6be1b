"""In which order test files are given to the processes of pytest-xdist.

Tests that start the product's own processes mostly wait, all others mostly compute. In turns, a
file of one kind runs beside one of the other, so that the processors are busy all the time; and the
long ones of both kinds come first, so that no process works alone in the end.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest

# Rough seconds of a test by its first marker of these, and of one that has none of them.
_SECONDS = {"e2e": 10.0, "slow": 2.0, "services": 0.1}
_SECONDS_OF_OTHERS = 0.02


def by_kind_and_weight(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with their files in that order; the order within a file is kept."""
    files: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.nodeid.partition("::")[0]].append(item)
    weights = {name: sum(map(_seconds, tests)) for name, tests in files.items()}
    waiting = {name for name, tests in files.items() if any(map(_waits, tests))}
    return [item for name in mixed(weights, waiting) for item in files[name]]


def mixed(weights: dict[str, float], waiting: set[str]) -> Iterable[str]:
    """Yield names, heavy ones first, such that of both kinds the same part is done at any time."""
    heavy_last = sorted(weights, key=lambda name: (weights[name], name))
    queues = [
        [name for name in heavy_last if name in waiting],
        [name for name in heavy_last if name not in waiting],
    ]
    totals = [sum(weights[name] for name in queue) for queue in queues]
    done = [0.0, 0.0]
    while any(queues):
        kind = min(
            (kind for kind in (0, 1) if queues[kind]), key=lambda kind: done[kind] / totals[kind]
        )
        name = queues[kind].pop()
        done[kind] += weights[name]
        yield name


def _waits(item: pytest.Item) -> bool:
    return item.get_closest_marker("e2e") is not None


def _seconds(item: pytest.Item) -> float:
    for marker, seconds in _SECONDS.items():
        if item.get_closest_marker(marker):
            return seconds
    return _SECONDS_OF_OTHERS
