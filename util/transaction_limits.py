"""Limits to how long a transaction waits, works or does nothing (decision 42).

They are set at the beginning of each transaction, for that transaction: settings of a session, and
the ``options`` with which one may be started, reach the wrong process or nobody behind a pooler
that hands each transaction another connection. docs/decisions/0110-limits-of-transactions.md weighs
the alternatives.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.utils import Error
from psycopg2 import extensions
from psycopg2.errors import DeadlockDetected, LockNotAvailable, QueryCanceled


class TransactionLimits(NamedTuple):
    """Seconds; 0 is no limit.

    ``lock`` is how long one lock is waited for, ``statement`` how long one statement may take, and
    ``idle`` how long a transaction may be left without any.
    """

    lock: float = 0
    statement: float = 0
    idle: float = 0

    def sql(self, *, single: bool) -> str:
        """Return the statements that set the limits of the transaction that they begin.

        One of a ``single`` further statement is never idle.
        """
        sql = (
            f"SET LOCAL lock_timeout = {_milliseconds(self.lock)};"
            f"SET LOCAL statement_timeout = {_milliseconds(self.statement)};"
        )
        if single:
            return sql
        return sql + (
            f"SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(self.idle)};"
        )


# PostgreSQL refuses these in a transaction, which several statements sent at once are.
_ALONE = re.compile(
    r"\s*(?:VACUUM|CLUSTER|REINDEX|ALTER\s+SYSTEM|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)"
    r"|(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY)\b",
    re.IGNORECASE,
)


class _Limiter:
    """Puts the limits before the first statement of each transaction: no further round trip."""

    def __init__(self) -> None:
        self._kind = ""
        self._prefixes: dict[bool, str] = {}

    def limit(self, kind: str) -> None:
        self._kind = kind
        self._prefixes = {}

    def _prefix(self, *, single: bool) -> str:
        if not self._prefixes:
            limits = TransactionLimits(**settings.DATABASE_LIMITS[self._kind])
            self._prefixes = {one: limits.sql(single=one) for one in (True, False)}
        return self._prefixes[single]

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        connection = context["connection"]
        if isinstance(sql, str) and _begins(connection, sql):
            sql = self._prefix(single=connection.autocommit) + sql
        return execute(sql, params, many, context)


_limiter = _Limiter()


def limit_transactions(kind: str) -> None:
    """Limit all transactions of this process as the settings have it for its kind.

    ``settings.DATABASE_LIMITS`` has the fields of ``TransactionLimits`` for each kind of process.
    To be called when a process starts, be it before the settings are known; a second call replaces
    the first.
    """
    _limiter.limit(kind)
    connection_created.connect(_on_connection, dispatch_uid=__name__)
    if settings.configured:
        for connection in connections.all(initialized_only=True):
            _install(connection)


def wait_for_locks(connection: BaseDatabaseWrapper, seconds: float) -> None:
    """Let the transaction in progress wait for so long for each lock; 0 is for ever."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {_milliseconds(seconds)}")


def is_lock_timeout(error: BaseException | None) -> bool:
    """Return whether an error of the database says that somebody else holds a lock.

    A deadlock, which PostgreSQL ends, says so too. The same work may well succeed later.
    """
    return isinstance(error, Error) and isinstance(
        error.__cause__, LockNotAvailable | DeadlockDetected
    )


def is_timeout(error: BaseException | None) -> bool:
    """Return whether an error of the database says that a lock or a statement took too long."""
    cancelled = isinstance(error, Error) and isinstance(error.__cause__, QueryCanceled)
    return cancelled or is_lock_timeout(error)


def _on_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    _install(connection)


def _install(connection: BaseDatabaseWrapper) -> None:
    if _limiter not in connection.execute_wrappers:
        # Not at the end, which ``connection.execute_wrapper`` takes off again.
        connection.execute_wrappers.insert(0, _limiter)


def _begins(connection: BaseDatabaseWrapper, sql: str) -> bool:
    """Return whether a statement begins a transaction, or is one."""
    status = connection.connection.info.transaction_status
    return status == extensions.TRANSACTION_STATUS_IDLE and not _ALONE.match(sql)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
