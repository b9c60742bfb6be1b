"""A task's soft time limit, raised so that nothing on its way takes it for something else.

Celery's ``SoftTimeLimitExceeded`` is an ordinary exception. Whoever catches ``Exception`` around
one item of many records it as the failure of that item, and botocore takes it for a broken
connection and repeats the call. So within a task the limit is a ``BaseException``, like
``KeyboardInterrupt``, and it becomes Celery's exception at the task's edge (spec 08 §6.3).
"""

import functools
import inspect
import signal
from collections.abc import Callable
from typing import Any

from billiard.pool import soft_timeout_sighandler
from celery.exceptions import SoftTimeLimitExceeded

SIGNAL = signal.SIGUSR1
"""What a worker's parent sends to the process whose task has reached its soft limit."""


class TimeLimitReached(BaseException):
    """The running task has used up its time and has to end now."""


def obeys_time_limit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the soft time limit of a task reach the task's edge, whatever its function catches.

    Only processes of Celery's prefork pool have soft limits; elsewhere nothing changes. Raises
    ``SoftTimeLimitExceeded`` when the limit is reached.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if signal.getsignal(SIGNAL) is not soft_timeout_sighandler:
            return function(*args, **kwargs)
        try:
            signal.signal(SIGNAL, _interrupt)
            try:
                return function(*args, **kwargs)
            finally:
                signal.signal(SIGNAL, soft_timeout_sighandler)
        except TimeLimitReached as reached:
            # It may have come just before the line above.
            signal.signal(SIGNAL, soft_timeout_sighandler)
            raise SoftTimeLimitExceeded from reached

    # Celery checks the arguments of a call by this.
    wrapper.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return wrapper


def _interrupt(*_: Any) -> None:
    raise TimeLimitReached
