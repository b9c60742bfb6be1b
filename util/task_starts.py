"""How often a task was begun and its process ended before it did (decision 43).

A task whose process is killed, by the system since its memory is used up or by a fault of its own,
is delivered again, and may kill the next one. So each start is counted in Redis, where the task's
message lies too, until the task has ended: well or badly. One whose starts came to nothing too
often is set aside instead of being started once more.
"""

import logging
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from celery import Task, signals, states
from celery.app.task import Context
from celery.worker import state as worker_state
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from redis import RedisError

from util import redis

logger = logging.getLogger(__name__)

MOST_LOST = 3
"""How many processes a task may take with it."""

REMEMBERED_SECONDS = 7 * 86400
"""For how long starts are remembered after the last one; messages come back within hours."""

PAUSE_SECONDS = 60
"""How long a task waits that cannot be set aside, since the database is away."""


def _lost() -> Any:
    """Return the counter of lost processes.

    The package of metrics is loaded late: gunicorn, which loads this module with the application,
    says first where the metrics of its processes are to be kept.
    """
    return import_module("util.metrics").counter(
        "cloudigrade_task_processes_lost", "Processes that ended while they ran a task.", ("name",)
    )


class SetAsideError(Exception):
    """A task is not run, since it took too many processes with it; an operator decides on it."""


class Keeper(NamedTuple):
    """What is done about tasks that have to be set aside.

    ``name_of`` names the work that a task's request is for, None for what is not to be counted;
    ``keep`` stores a task of that name durably, with the number of processes that were lost.
    """

    name_of: Callable[[Context], str | None]
    keep: Callable[[Task, str, int], None]


_keeper: Keeper | None = None


def count_starts(keeper: Keeper) -> None:
    """Count the starts of this worker's tasks from now on, and set aside what has to be."""
    global _keeper
    _keeper = keeper
    signals.task_postrun.connect(_end)
    signals.worker_shutting_down.connect(_forgive)


def begin(task: Task) -> None:
    """Count a start of the running task; whoever counts no starts does nothing.

    Raises ``SetAsideError`` after setting it aside, if that has to be, and Celery's ``Retry`` if
    that is not possible now.
    """
    request = task.request
    if _keeper is None or request.called_directly or request.is_eager:
        return
    name = _keeper.name_of(request)
    if name is None:
        return
    try:
        starts, all_starts = _count(name, request.retries or 0)
    except RedisError:
        logger.warning("Redis is not available: a start of %s is not counted", name)
        return
    # Each repetition was queued by a start that ended; and one start of this repetition is ours.
    lost = sum(all_starts) - len(all_starts)
    if starts > 1:
        _lost().labels(task.name).inc()
        logger.error("Task %s[%s] has taken %s processes with it", task.name, request.id, lost)
    if lost >= MOST_LOST:
        _set_aside(_keeper, task, name, lost)


def forget(name: str) -> None:
    """Forget the starts of this work, so that it is begun as if it were new."""
    redis.client().delete(_key(name))


def _key(name: str) -> str:
    return f"{settings.CLOUDIGRADE_ENVIRONMENT}-task-starts-{name}"


def _count(name: str, retries: int) -> tuple[int, list[int]]:
    """Count a start; return how many there were of this repetition of the work, and of each."""
    pipeline = redis.client().pipeline()
    pipeline.hincrby(_key(name), str(retries), 1)
    pipeline.hvals(_key(name))
    pipeline.expire(_key(name), REMEMBERED_SECONDS)
    of_this, of_each, _ = pipeline.execute()
    return of_this, [int(starts) for starts in of_each]


def _set_aside(keeper: Keeper, task: Task, name: str, lost: int) -> None:
    try:
        keeper.keep(task, name, lost)
    except (DatabaseError, InterfaceError) as error:
        raise task.retry(exc=error, countdown=PAUSE_SECONDS, max_retries=10**6) from error
    raise SetAsideError(f"{task.name} has taken {lost} processes with it and is set aside")


def _end(task: Task, state: str | None = None, retval: Any = None, **_: Any) -> None:
    """Forget the starts of a task that has ended, if its process has survived that."""
    if _keeper is None or task.request.is_eager or state in (None, states.RETRY):
        return
    # Celery ends a process that has no memory left, whoever noticed that.
    if isinstance(retval, SetAsideError | MemoryError):
        return
    name = _keeper.name_of(task.request)
    try:
        if name is not None:
            forget(name)
    except RedisError:
        logger.warning("Redis is not available: starts of %s are still counted", name)


def _forgive(**_: Any) -> None:
    """Count no start of the tasks that run now: this worker is asked to end, and may be killed.

    It is told so by a signal, in the middle of anything; so the work is done in a thread.
    """
    running = [Context(request.request_dict) for request in worker_state.active_requests]
    threading.Thread(target=_uncount, args=(running,), daemon=True).start()


def _uncount(running: list[Context]) -> None:
    try:
        for request in running:
            name = _keeper.name_of(request) if _keeper else None
            if name is not None:
                redis.client().hincrby(_key(name), str(request.retries or 0), -1)
    except RedisError:
        logger.warning("Redis is not available: starts of running tasks stay counted")
