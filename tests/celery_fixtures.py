"""Seeing which tasks were queued, and limiting their time, without a broker or a worker."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from billiard.pool import soft_timeout_sighandler
from django.db import connection

from util import tasks
from util.time_limit import SIGNAL


class QueuedTask(NamedTuple):
    """A task as its worker would get it: arguments are JSON, dates are text."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    countdown: float | None = None


class Queued(Sequence[QueuedTask]):
    """The tasks queued so far, in order. What a rolled back transaction queued is not among them.

    The transaction that a test runs in never ends; looking here acts as if it had been committed,
    as far as queueing is concerned. Equal to a list of tuples with the same content.
    """

    def __init__(self) -> None:
        self._tasks: list[QueuedTask] = []

    def __getitem__(self, index: Any) -> Any:
        return self._committed()[index]

    def __len__(self) -> int:
        return len(self._committed())

    def __iter__(self) -> Iterator[QueuedTask]:
        return iter(self._committed())

    def __eq__(self, other: object) -> bool:
        return self._committed() == other

    def __repr__(self) -> str:
        return repr(self._committed())

    @property
    def names(self) -> list[str]:
        """The names of the tasks."""
        return [task.name for task in self._committed()]

    def named(self, name: str) -> list[QueuedTask]:
        """The tasks of one name."""
        return [task for task in self._committed() if task.name == name]

    def clear(self) -> None:
        """Forget what was queued so far."""
        self._committed().clear()

    def publish(
        self, name: str, *, args: list[Any], kwargs: dict[str, Any], **options: Any
    ) -> None:
        """Stand in for ``util.tasks.publish``."""
        self._tasks.append(QueuedTask(name, tuple(args), kwargs, options["countdown"]))

    def _committed(self) -> list[QueuedTask]:
        waiting: list[Any] = connection.run_on_commit
        connection.run_on_commit = []
        for _savepoints, callback, _robust in waiting:
            callback()
        return self._tasks


def _on_commit(callback: Callable[[], None], robust: bool = False) -> None:
    """Do what Django does, without a database where there is no transaction."""
    if connection.in_atomic_block:
        connection.on_commit(callback, robust=robust)
    else:
        callback()


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> Queued:
    """The tasks that the test queues: a list of (name, args, kwargs, countdown)."""
    found = Queued()
    monkeypatch.setattr(tasks, "publish", found.publish)
    monkeypatch.setattr(tasks, "transaction", SimpleNamespace(on_commit=_on_commit))
    return found


@pytest.fixture
def reach_time_limit() -> Iterator[Callable[[], None]]:
    """Run tasks as a process of Celery's prefork pool does; the function ends the running one."""
    before = signal.signal(SIGNAL, soft_timeout_sighandler)
    yield lambda: os.kill(os.getpid(), SIGNAL)
    signal.signal(SIGNAL, before)
