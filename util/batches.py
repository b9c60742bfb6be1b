"""Many things a few at a time, so that a process never holds too much of them at once."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

PIECE = 1024 * 1024
"""Bytes of large columns that one response has in memory, unless a single row has more."""


def batched_by_size(
    items: Iterable[Item], *, size_of: Callable[[Item], int], limit: int, most: int
) -> Iterator[list[Item]]:
    """Yield items in their order, as many at a time as are not larger than a limit together.

    One that is larger alone comes alone. No more than ``most`` come at a time.
    """
    batch: list[Item] = []
    total = 0
    for item in items:
        size = size_of(item)
        if batch and (total + size > limit or len(batch) == most):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch
