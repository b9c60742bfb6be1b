"""Reading from a replica of the database where there is one (spec 15 §2.3).

``ReplicaMiddleware`` decides for each request, ``ReplicaRouter`` for each query of Django's, and
``connection`` is for SQL of our own in what reading routes call: outside of such a request it is
the primary's. A replica that is away, that lags too far behind, or that fails in the middle of a
request costs that request nothing but the time until then: the primary answers it.

How far the replica lags is measured from a thread of its own, so that no request waits for a
replica that hangs. It goes by the primary's clock and its position in the log: a replica that has
all that there is does not lag, however long ago that was written, and one that gets nothing any
more does.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import DatabaseError, Error, InterfaceError, connections
from django.http import HttpRequest, HttpResponseBase
from psycopg2.errors import QueryCanceled

from util.metrics import counter

logger = logging.getLogger(__name__)

PRIMARY = "default"
REPLICA = "replica"

LAG_HEADER = "X-Cloudigrade-Replica-Lag"
"""Tells how many seconds what a response shows may lie back."""

INTERVAL = 5.0
"""Seconds between two measurements."""
VALID = 3 * INTERVAL
"""For how long a measurement is believed; after that the replica hangs."""

FALLBACKS = counter(
    "cloudigrade_replica_fallbacks_total",
    "Requests that the primary answered because the replica could not.",
    ("reason",),
)

_alias: ContextVar[str] = ContextVar("database_to_read_from", default=PRIMARY)

_POSITION = "SELECT pg_current_wal_lsn()::text, clock_timestamp()"
_LAG = """
SELECT CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %(position)s::pg_lsn THEN 0
            ELSE extract(epoch FROM %(now)s - pg_last_xact_replay_timestamp())::float8 END
"""


def is_configured() -> bool:
    """Return whether the deployment has a replica."""
    return REPLICA in settings.DATABASES


class ReplicaRouter:
    """Has Django's own queries read from where the request does, and write to the primary."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return where to read from."""
        return _alias.get()

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Return where to write to."""
        return PRIMARY

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Let rows refer to each other, since both databases are the same."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Migrate the primary only."""
        return db == PRIMARY


class _Connection:
    """The connection that reading routes use, as ``django.db.connection`` is the primary's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[_alias.get()], name)


connection = _Connection()


@contextmanager
def reading_from(alias: str) -> Iterator[None]:
    """Have what is read in this block read there."""
    token = _alias.set(alias)
    try:
        yield
    finally:
        _alias.reset(token)


def measure_lag() -> float:
    """Return for how many seconds the replica lags behind. Raises what the databases raise."""
    with connections[PRIMARY].cursor() as cursor:
        cursor.execute(_POSITION)
        position, now = cursor.fetchone()
    with connections[REPLICA].cursor() as cursor:
        cursor.execute(_LAG, {"position": position, "now": now})
        [lag] = cursor.fetchone()
    return float("inf") if lag is None else max(lag, 0.0)


class Monitor:
    """What is known of the replica in this process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._pid = 0
        self._lag: float | None = None
        self._measured_at = 0.0

    def lag(self) -> float | None:
        """Return the lag in seconds as last measured; None where the replica cannot be used.

        The first call in a process begins measuring, and knows nothing yet.
        """
        self._begin()
        if time.monotonic() - self._measured_at > VALID:
            return None
        return self._lag

    def lose(self) -> None:
        """Note that the replica failed; it is used again when it was measured again."""
        self._lag = None

    def measure(self) -> None:
        """Measure now."""
        try:
            lag: float | None = measure_lag()
        except Error as error:
            if self._lag is not None or not self._measured_at:
                logger.warning("The replica cannot be used: %s", error)
            lag = None
            for alias in (PRIMARY, REPLICA):
                connections[alias].close()
        self._lag, self._measured_at = lag, time.monotonic()

    def _begin(self) -> None:
        if self._pid == os.getpid():
            return
        with self._mutex:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._watch, name="replica", daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                self.measure()
            except Exception:
                logger.exception("The replica could not be measured")
                self.lose()
            time.sleep(INTERVAL)


monitor = Monitor()


class ReplicaMiddleware:
    """Has reading routes answered from the replica, and by the primary where that fails."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request; a header tells the lag of what the replica answered."""
        lag = self._usable_lag(request)
        if lag is None:
            return self._get_response(request)
        failures: list[BaseException] = []
        with reading_from(REPLICA), _noting_failures(failures):
            response = self._get_response(request)
        if failures and response.status_code >= 500:
            logger.warning("The replica failed, the primary is asked again: %s", failures[-1])
            FALLBACKS.labels("failed").inc()
            monitor.lose()
            connections[REPLICA].close()
            return self._get_response(request)
        response.headers[LAG_HEADER] = f"{lag:.3f}"
        if getattr(response, "streaming", False):
            streamed: Any = response
            streamed.streaming_content = _streamed(streamed.streaming_content)
        return response

    def _usable_lag(self, request: HttpRequest) -> float | None:
        is_reading = request.method in ("GET", "HEAD")
        if not (is_reading and request.path.startswith(settings.REPLICA_PATHS)):
            return None
        lag = monitor.lag()
        if lag is None:
            FALLBACKS.labels("away").inc()
        elif lag > settings.DJANGO_DATABASE_REPLICA_MAX_LAG:
            FALLBACKS.labels("lagging").inc()
        elif _answers():
            return lag
        return None


def _answers() -> bool:
    """Connect to the replica, or check the connection where that is due."""
    try:
        with connections[REPLICA].cursor():
            return True
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The replica cannot be reached: %s", error)
        FALLBACKS.labels("away").inc()
        monitor.lose()
        connections[REPLICA].close()
        return False


@contextmanager
def _noting_failures(failures: list[BaseException]) -> Iterator[None]:
    """Note errors of the replica in this block, but for statements that took too long."""

    def execute(run: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        try:
            return run(sql, params, many, context)
        except Error as error:
            if not isinstance(error.__cause__, QueryCanceled) or _is_conflict(error):
                failures.append(error)
            raise

    with connections[REPLICA].execute_wrapper(execute):
        yield


def _is_conflict(error: Error) -> bool:
    """Return whether what was read had to go because the primary removed it."""
    return "conflict with recovery" in str(error)


def _streamed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a response's pieces, each read from where the first one was."""
    iterator = iter(pieces)
    while True:
        with reading_from(REPLICA):
            try:
                piece = next(iterator)
            except StopIteration:
                return
        yield piece
