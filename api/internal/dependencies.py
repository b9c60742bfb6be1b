"""What the product depends on, asked one by one, each within a time (spec 02 §8, 08 §10)."""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from util import redis

logger = logging.getLogger(__name__)

TIMEOUT = 0.8
"""Seconds that a check may take: probes give up after one."""

Check = Callable[[], None]


class _KeptConnections:
    """Connections that checks use one after the other: a new one costs more than what it is for.

    One that hangs is not given back, so that the next check does not wait for it.
    """

    def __init__(self) -> None:
        self._idle: deque[BaseDatabaseWrapper] = deque(maxlen=0)

    def keep(self) -> None:
        """Keep one from now on."""
        self._idle = deque(maxlen=1)

    def ask(self) -> None:
        """Read over one that works. Raises what the database raises."""
        try:
            kept = self._idle.pop()
        except IndexError:
            self._ask(connections.create_connection(DEFAULT_DB_ALIAS))
            return
        try:
            self._ask(kept)
        except (OperationalError, InterfaceError):
            # It may have ended while nobody looked, which says nothing of the database.
            self._ask(connections.create_connection(DEFAULT_DB_ALIAS))

    def _ask(self, one: BaseDatabaseWrapper) -> None:
        one.inc_thread_sharing()
        try:
            with one.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchone()
        except BaseException:
            one.close()
            raise
        if self._idle.maxlen == len(self._idle):
            one.close()
        else:
            self._idle.append(one)


_connections = _KeptConnections()

keep_connection = _connections.keep
"""Have this process keep the connection of its checks of the database."""


def check_database() -> None:
    """Read from the database, over a connection that no request uses."""
    _connections.ask()


def check_redis() -> None:
    """Ask Redis for a sign of life."""
    redis.client().ping()


def check_kafka() -> None:
    """Reach one of the brokers."""
    _reach_any(settings.KAFKA_BOOTSTRAP_SERVERS)


def check_aws() -> None:
    """Reach the queue service, the part of AWS that the workers ask most often."""
    _reach_any(_queue_service())


@cache
def _queue_service() -> str:
    # Loaded here: a web server that is not asked for this need not hold it.
    session = import_module("boto3.session").Session()
    place = urlsplit(session.client("sqs").meta.endpoint_url)
    return f"{place.hostname}:{place.port or (443 if place.scheme == 'https' else 80)}"


def _reach_any(places: str) -> None:
    error: OSError | None = None
    for place in places.split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=TIMEOUT / 2).close()
            return
        except OSError as failure:
            error = failure
    raise error or OSError("no place is configured")


DEPENDENCIES: Mapping[str, Check] = {
    "database": check_database,
    "redis": check_redis,
    "kafka": check_kafka,
    "aws": check_aws,
}


@dataclass
class CheckOutcome:
    """How one check ended."""

    error: Exception | None = None
    seconds: float = 0.0
    finished: bool = False

    @property
    def status(self) -> str:
        """``working``, or why it does not: never a place or a secret."""
        if not self.finished:
            return "no answer in time"
        return "working" if self.error is None else f"failed: {type(self.error).__name__}"


def run_checks(checks: Mapping[str, Check]) -> dict[str, CheckOutcome]:
    """Run checks side by side and give their outcomes after ``TIMEOUT`` seconds at the latest.

    A check that hangs is left to end by itself; its thread does not keep the process alive.
    """
    outcomes = {name: CheckOutcome() for name in checks}
    threads = [
        threading.Thread(target=_run, args=(check, outcomes[name]), daemon=True)
        for name, check in checks.items()
    ]
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    return outcomes


def _run(check: Check, outcome: CheckOutcome) -> None:
    started = time.perf_counter()
    try:
        check()
    except Exception as error:
        outcome.error = error
    outcome.seconds = time.perf_counter() - started
    outcome.finished = True


def ask_database() -> CheckOutcome:
    """Run the one check that decides whether this process is given requests; log a failure."""
    outcome = run_checks({"database": check_database})["database"]
    if outcome.error is not None and not isinstance(outcome.error, DatabaseError):
        logger.error("Database check failed", exc_info=outcome.error)
    elif outcome.error is not None or not outcome.finished:
        logger.error("Database check: %s", outcome.status)
    return outcome
