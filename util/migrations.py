"""Bringing the database's schema up to date when many processes start at once (spec 08 §12.1)."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import OperationalError, connection

from util.locks import advisory_key

logger = logging.getLogger(__name__)

POLL_SECONDS = 5
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


def migrate_alone(wait_seconds: int) -> None:
    """Apply pending migrations while no other process does.

    Whoever comes second waits, at most the given seconds, and then finds nothing to do. Raises
    OperationalError if the lock is not to be had in that time.
    """
    with _alone(wait_seconds):
        call_command("migrate", interactive=False)


@contextmanager
def _alone(wait_seconds: int) -> Iterator[None]:
    """Hold a lock in a connection of its own, since each migration has its own transaction."""
    holder = connection.copy()
    try:
        holder.set_autocommit(False)
        with holder.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_seconds}s"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key(_NAMESPACE, "schema")])
        yield
    finally:
        holder.close()
