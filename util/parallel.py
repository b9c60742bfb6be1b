"""Calling something slow, such as a service, for several things at the same time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[tuple[Item, Future[Result]]]:
    """Call a function in threads, a few ahead of the caller; results come in the items' order.

    At most ``threads`` results are in memory that the caller has not taken.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        ahead: deque[tuple[Item, Future[Result]]] = deque()
        try:
            for item in items:
                ahead.append((item, pool.submit(function, item)))
                if len(ahead) == threads:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, future in ahead:
                future.cancel()
