"""Find out whether a kept connection still works without asking the database each time.

Django asks with a statement of its own before the first one of each request, which is a tenth of
what a short request takes. But a server, or a pooler, that ended a connection has said so, and the
operating system knows: there is something to read where nothing should be.
"""

import select
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

BELIEVED_SECONDS = 5.0
"""How long an answer proves that the server's machine is there, which is lost without a word."""


def look_before_asking() -> None:
    """Have connections that this process opens from now on be looked at, and asked if in doubt.

    It only matters where ``CONN_HEALTH_CHECKS`` is on.
    """
    connection_created.connect(_on_connection, dispatch_uid=__name__)


def _on_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    check = Check(partial(type(connection).is_usable, connection))
    connection.is_usable = partial(check, connection)  # type: ignore[method-assign]


class Check:
    """What is known of one connection, which has just been made; ``ask`` sends a statement."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._believed_until = time.monotonic() + BELIEVED_SECONDS

    def __call__(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether the connection works."""
        now = time.monotonic()
        usable = (now < self._believed_until and is_silent(connection)) or self._ask()
        # Whoever looks is about to send a statement, whose answer proves as much.
        self._believed_until = now + BELIEVED_SECONDS
        return usable


def is_silent(connection: BaseDatabaseWrapper) -> bool:
    """Return whether an idle connection is open, and the server has sent nothing, such as an end.

    Costs one system call.
    """
    raw = connection.connection
    if raw.closed:
        return False
    poller = select.poll()
    poller.register(raw.fileno(), select.POLLIN | select.POLLPRI)
    return not poller.poll(0)
