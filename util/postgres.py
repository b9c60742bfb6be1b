"""PostgreSQL's clock, and not waiting for a PostgreSQL that does not answer (spec 03 §1.4)."""

import datetime
import select
import time
from collections.abc import Callable
from typing import Any

import psycopg2
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
)
from psycopg2 import extensions

_SLICE_SECONDS = 0.5


def now() -> datetime.datetime:
    """Return the current instant by PostgreSQL's clock, aware, in UTC (decision 41).

    Workers' clocks may differ; what is compared with what other processes wrote goes by this one.
    It goes on inside of a transaction. Raises what the database raises.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime.datetime = cursor.fetchone()[0]
    return moment.astimezone(datetime.UTC)


def require_writable() -> None:
    """Raise OperationalError unless the database answers and takes changes.

    A connection that broke at another time is made anew, so that it is the database that answers.
    """
    try:
        _require_writable()
    except (OperationalError, InterfaceError):
        connection.close()
        _require_writable()


def _require_writable() -> None:
    with connection.cursor() as cursor:
        # A replica that took the place of a lost primary, or one that the primary became, only
        # answers.
        cursor.execute("SELECT current_setting('transaction_read_only')::bool")
        if cursor.fetchone()[0]:
            raise OperationalError("The database takes no changes")


def violated_constraint(error: IntegrityError) -> str:
    """Return the name of the constraint that a statement or a commit violated; empty if unknown."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) or ""


def is_away(error: BaseException) -> bool:
    """Check whether an error is the database's because it does not answer or takes no changes now.

    Not so for one lost connection, a lock that was held for too long, or a statement that was.
    """
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    try:
        require_writable()
    except (OperationalError, InterfaceError):
        return True
    return False


class DatabaseClock:
    """PostgreSQL's clock for a while: read once, then carried on by the machine's own stopwatch.

    For work in several threads, and for moments at which no connection may be in use. It is ahead
    of the real one by at most the time that the one reading took, and never behind.
    """

    def __init__(self) -> None:
        self._stopwatch_at_reading = time.monotonic()
        self._read = now()

    def now(self) -> datetime.datetime:
        """Return the current instant by PostgreSQL's clock, aware, in UTC."""
        elapsed = time.monotonic() - self._stopwatch_at_reading
        return self._read + datetime.timedelta(seconds=elapsed)


def limit_waiting(seconds: float, *, is_short: Callable[[], bool], short_timeout: float) -> None:
    """Let no connection of this process wait longer for an answer of the database.

    Keep-alives notice a machine that is gone, not a server that hangs while its machine still
    answers for it. ``is_short`` says when ``short_timeout`` counts instead. What takes too long
    fails with ``OperationalError``, and its connection is closed. For processes whose statements
    are short.
    """

    def wait(connection: Any) -> None:
        begun = time.monotonic()
        while (state := connection.poll()) != extensions.POLL_OK:
            allowed = short_timeout if is_short() else seconds
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
