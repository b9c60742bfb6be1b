"""Bringing the database's schema up to date when many processes start at once (spec 08 §12.1)."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from util.locks import advisory_key
from util.transaction_limits import is_lock_timeout, wait_for_locks

logger = logging.getLogger(__name__)

POLL_SECONDS = 5
SHORT_LOCK_SECONDS = 3
LOCK_ATTEMPTS = 200
ROWS_AT_ONCE = 5_000
_NAMESPACE = "migrate"


def wait_for_database(
    seconds: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until the database, or the pooler before it, answers.

    Raises OperationalError if it does not within the given seconds.
    """
    deadline = monotonic() + seconds
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return
        except OperationalError as error:
            connection.close()
            if monotonic() >= deadline:
                raise
            logger.warning("The database does not answer yet: %s", type(error).__name__)
        sleep(POLL_SECONDS)


def wait_for_migrations(*, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait, as long as it takes, until the database answers and no migration is pending."""
    while (reason := _not_ready()) is not None:
        logger.warning("Waiting for the database: %s", reason)
        connection.close()
        sleep(POLL_SECONDS)


def pending_migrations() -> int:
    """Return how many migrations are not applied yet. Raises what the database raises."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _not_ready() -> str | None:
    try:
        pending = pending_migrations()
    except (OperationalError, InterfaceError) as error:
        return type(error).__name__
    return f"{pending} migrations are pending" if pending else None


def migrate_alone(wait_seconds: int) -> None:
    """Apply pending migrations while no other process does.

    Whoever comes second waits, at most the given seconds, and then finds nothing to do. Raises
    OperationalError if the lock is not to be had in that time.
    """
    with _alone(wait_seconds):
        call_command("migrate", interactive=False)


@contextmanager
def _alone(wait_seconds: int) -> Iterator[None]:
    """Hold a lock in a connection of its own, since each migration has its own transaction.

    Whoever waits for it asks again and again: a statement that waits would keep an index from being
    built concurrently, and so wait for ever.
    """
    holder = connection.copy()
    try:
        holder.set_autocommit(False)
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(holder):
            if time.monotonic() >= deadline:
                raise OperationalError(
                    f"another process has been migrating for {wait_seconds} seconds"
                )
            time.sleep(min(1, wait_seconds))
        yield
    finally:
        holder.close()


def _try_lock(holder: BaseDatabaseWrapper) -> bool:
    with holder.cursor() as cursor:
        # The transaction does nothing else for as long as all migrations take.
        cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [advisory_key(_NAMESPACE, "schema")])
        taken: bool = cursor.fetchone()[0]
    if not taken:
        holder.rollback()
    return taken


def build_index(connection: BaseDatabaseWrapper, *, name: str, statement: str) -> None:
    """Build an index while others write to its table; for migrations that are not atomic.

    What an earlier attempt left unfinished is dropped first. ``statement`` creates the index
    concurrently.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {connection.ops.quote_name(name)}")
        cursor.execute(statement)


def alter_table(connection: BaseDatabaseWrapper, statement: str) -> None:
    """Execute a statement that needs a table for itself for a moment, without an outage.

    Whoever asks for such a lock keeps everybody who comes later waiting; so it is asked for again
    and again, for a few seconds each. Raises OperationalError if it is never to be had.
    """
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                wait_for_locks(connection, SHORT_LOCK_SECONDS)
                cursor.execute(statement)
            return
        except OperationalError as error:
            if not is_lock_timeout(error) or attempt == LOCK_ATTEMPTS:
                raise
            logger.warning("A table is in use, attempt %s to change it: %s", attempt, statement)
            time.sleep(1)


def fill_in_chunks(
    connection: BaseDatabaseWrapper, table: str, *statements: str, rows: int = ROWS_AT_ONCE
) -> None:
    """Execute statements for all rows of a table, some thousands at a time, by their ids.

    For migrations that are not atomic: each statement commits alone, so that no row stays locked
    for long. The statements have two parameters: ids above the first one, up to the second one.
    """
    next_chunk = (
        f"SELECT max(id) FROM (SELECT id FROM {connection.ops.quote_name(table)}"  # noqa: S608
        " WHERE id > %s ORDER BY id LIMIT %s) chunk"
    )
    done = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(next_chunk, [done, rows])
            (last,) = cursor.fetchone()
            if last is None:
                return
            for statement in statements:
                cursor.execute(statement, [done, last])
            done = last
