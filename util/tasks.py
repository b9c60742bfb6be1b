"""Celery tasks: how they are defined, retried, limited and queued (spec 08 §6)."""

import datetime
import functools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from celery import Signature, current_app, current_task, shared_task
from celery import Task as CeleryTask
from celery.utils.time import get_exponential_backoff_interval
from django.db import DatabaseError, transaction

from util import task_starts
from util.time_limit import obeys_time_limit
from util.transaction_limits import is_lock_timeout

MAX_RETRIES = 35
MAX_BACKOFF = 120
"""Seconds."""
LONGEST_WAIT_FOR_LOCK = 60
"""Seconds after which at the latest a task is repeated that did not get a lock."""
LONGEST_RETRY_AFTER = 3600
"""Seconds by which an error can delay the repetition of a task."""


def retries_within(total_seconds: float, cap: int) -> int:
    """Return how many retries fit into a time, with waits of 1, 2, 4, ... seconds up to a cap.

    It is the largest number whose waits sum up to less than the time (spec 08 §6.3).
    """
    retries, waited, wait = 0, 0, 1
    while waited + min(wait, cap) < total_seconds:
        waited += min(wait, cap)
        wait *= 2
        retries += 1
    return retries


@dataclass(frozen=True)
class RetryPolicy:
    """After which errors a task is tried again, how often, and how patiently.

    Waits double from one second up to ``max_backoff``, each shortened at random. ``total_seconds``,
    where it is given, decides how many retries there are, in place of ``max_retries``.
    """

    errors: tuple[type[BaseException], ...]
    max_retries: int = MAX_RETRIES
    max_backoff: int = MAX_BACKOFF
    total_seconds: float | None = None

    @property
    def retries(self) -> int:
        """How often a task is tried again at most."""
        if self.total_seconds is None:
            return self.max_retries
        return retries_within(self.total_seconds, self.max_backoff)

    def options(self) -> dict[str, Any]:
        """Return the policy as Celery's task options."""
        return {
            "autoretry_for": self.errors,
            "max_retries": self.retries,
            "retry_backoff": 1,
            "retry_backoff_max": self.max_backoff,
            "retry_jitter": True,
        }


@dataclass(frozen=True)
class TimeLimit:
    """How long a task may run, in seconds.

    After ``soft`` it is told, by ``util.time_limit.TimeLimitReached``; after ``hard`` it is ended.
    """

    soft: int
    hard: int


SHORT = TimeLimit(soft=120, hard=180)
"""For one account, one message, one image."""
LONG = TimeLimit(soft=1500, hard=1800)
"""For a sweep over all of them, or for a whole customer's history."""


def seconds_asked_for(error: BaseException | None) -> float:
    """Return for how long an error says that its work should not be repeated, an hour at most.

    Errors say it by an attribute ``retry_after``, in seconds (decision 51).
    """
    return min(getattr(error, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER)


class Task(CeleryTask):
    """A task that is acknowledged when it is done, and delivered again if its worker is lost.

    It is not repeated sooner than the error that made it fail asks for, and not begun any more when
    it has taken too many processes with it (``util.task_starts``).
    """

    abstract = True
    acks_late = True
    reject_on_worker_lost = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Count the start. Raises ``SetAsideError`` if there are to be no more."""
        task_starts.begin(self)

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Queue the running task again, as Celery's own method does, and raise its ``Retry``."""
        wait = seconds_asked_for(exc)
        if wait and eta is None:
            countdown = max(countdown or 0.0, wait)
        return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)


def task(
    name: str, *, retry: RetryPolicy | None = None, limit: TimeLimit = SHORT, **options: Any
) -> Callable[[Callable[..., Any]], CeleryTask]:
    """Make a function a task, with a name that is a contract and outlives the function's own."""
    decorate = shared_task(
        name=name,
        base=Task,
        soft_time_limit=limit.soft,
        time_limit=limit.hard,
        **(retry.options() if retry else {}),
        **options,
    )
    policy_errors = retry.errors if retry else ()
    return lambda function: decorate(obeys_time_limit(_repeated(function, policy_errors)))


def _repeated(
    function: Callable[..., Any], policy_errors: tuple[type[BaseException], ...]
) -> Callable[..., Any]:
    """Have the running task repeated if it gave up waiting for a lock, whatever its policy says.

    So it does not fail because of what somebody else was doing (decision 42).
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except DatabaseError as error:
            if not is_lock_timeout(error) or isinstance(error, policy_errors):
                raise
            countdown = get_exponential_backoff_interval(
                1, current_task.request.retries, LONGEST_WAIT_FOR_LOCK, full_jitter=True
            )
            raise current_task.retry(
                exc=error, countdown=countdown, max_retries=MAX_RETRIES
            ) from error

    return wrapper


_must_succeed: ContextVar[bool] = ContextVar("publishing_must_succeed", default=False)


@contextmanager
def publishing_must_succeed() -> Iterator[None]:
    """Let a broker that is away be an error, for work that is then repeated as a whole."""
    token = _must_succeed.set(True)
    try:
        yield
    finally:
        _must_succeed.reset(token)


def enqueue(
    name: str,
    *args: Any,
    countdown: float | None = None,
    headers: Mapping[str, str] | None = None,
    then: Sequence[str] = (),
    **kwargs: Any,
) -> str:
    """Queue a task by its name once the current transaction commits; at once if there is none.

    Dates and times travel as ISO text. Returns the id that the task will have. A broker that is
    away is logged and otherwise ignored: what was saved stays saved, and the periodic tasks make up
    for it. Each task of ``then`` starts when the one before has succeeded, and gets its result.

    Raises LookupError for a name without a route, TypeError for arguments that JSON cannot carry.
    """
    for needed in (name, *then):
        if needed not in current_app.conf.task_routes:
            raise LookupError(f"{needed} is not the name of a task")
    options: dict[str, Any] = {
        "args": plain(args),
        "kwargs": plain(kwargs),
        "countdown": countdown,
        "headers": dict(headers or {}),
        "task_id": str(uuid.uuid4()),
    }
    if then:
        options["link"] = _linked(then)
    robust = not _must_succeed.get()
    transaction.on_commit(lambda: publish(name, **options), robust=robust)
    return options["task_id"]


def _linked(names: Sequence[str]) -> Signature:
    """Make tasks that follow one another one callback."""
    first = current_app.signature(names[0])
    if len(names) > 1:
        first.link(_linked(names[1:]))
    return first


def publish(name: str, **options: Any) -> None:
    """Send a task's message now, or run the task here if Celery is set to be eager."""
    if current_app.conf.task_always_eager:
        current_app.loader.import_default_modules()
        current_app.tasks[name].apply_async(**options)
    else:
        current_app.send_task(name, **options)


def plain(value: Any) -> Any:
    """Return arguments as JSON has them: dates as ISO text, tuples as lists.

    Raise TypeError if that fails.
    """
    return json.loads(json.dumps(value, default=_text, allow_nan=False))


def _text(value: Any) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be an argument of a task")


def parse_date(value: str | datetime.date | None) -> datetime.date | None:
    """Return the date of an ISO date or date-time, as task arguments have it; None stays None.

    A time of day and its offset are dropped, not converted. Raises ValueError for anything else.
    """
    return None if value is None else _from_iso(value).date()


def parse_datetime(value: str | datetime.date | None) -> datetime.datetime | None:
    """Return the instant of an ISO date-time, in UTC; without an offset it is UTC already.

    A bare date is its midnight. None stays None. Raises ValueError for anything else.
    """
    if value is None:
        return None
    moment = _from_iso(value)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC)


def _from_iso(value: str | datetime.date) -> datetime.datetime:
    text = value if isinstance(value, str) else value.isoformat()
    return datetime.datetime.fromisoformat(text)
