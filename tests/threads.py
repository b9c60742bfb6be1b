"""Functions in threads, each with a database connection of its own, as other workers have."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Self

from django.db import connections

_PATIENCE_SECONDS = 60


def in_thread(work: Callable[[], Any]) -> Future:
    """Start a function in a thread; gives what will be its result."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(_in_own_connection, work)
    pool.shutdown(wait=False)
    return future


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Run functions in threads that begin together; gives their results in order.

    Raises what the first of them raised, when all have ended; TimeoutError if one does not end.
    """
    start = threading.Barrier(len(works))
    futures = [in_thread(partial(_after, start, work)) for work in works]
    wait(futures, _PATIENCE_SECONDS)
    return [future.result(timeout=0) for future in futures]


def _in_own_connection(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        connections.close_all()


def _after(start: threading.Barrier, work: Callable[[], Any]) -> Any:
    start.wait(_PATIENCE_SECONDS)
    return work()


class NoThreads:
    """Stands in for a pool of threads, which cannot see what a test has not committed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.map = map

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
