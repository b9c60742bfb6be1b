"""Not waiting for a PostgreSQL that does not answer (spec 03 §1.4)."""

import select
import time
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import extensions

_SLICE_SECONDS = 0.5


def limit_waiting(
    seconds: float, *, is_hurried: Callable[[], bool], hurried_seconds: float
) -> None:
    """Let no connection of this process wait longer for an answer of the database.

    Keep-alives notice a machine that is gone, not a server that hangs while its machine still
    answers for it. ``is_hurried`` tells when there is less time. What takes too long fails with
    ``OperationalError``, and its connection is closed. For processes whose statements are short.
    """

    def wait(connection: Any) -> None:
        begun = time.monotonic()
        while (state := connection.poll()) != extensions.POLL_OK:
            allowed = hurried_seconds if is_hurried() else seconds
            if time.monotonic() - begun > allowed:
                raise psycopg2.OperationalError(f"no answer in {allowed:g} seconds")
            _wait_for_socket(connection, state)

    extensions.set_wait_callback(wait)


def _wait_for_socket(connection: Any, state: int) -> None:
    if state == extensions.POLL_READ:
        select.select([connection], [], [], _SLICE_SECONDS)
    elif state == extensions.POLL_WRITE:
        select.select([], [connection], [], _SLICE_SECONDS)
    else:
        raise psycopg2.OperationalError(f"unknown state {state} of a connection")
