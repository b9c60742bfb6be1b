"""Clients that hang up while their request is answered: their statements end (spec 11 §4).

A page that takes long keeps the database busy for a client that may be gone, which asks again. So
each worker of gunicorn has a thread that looks, twice a second, whether the clients are still there
for whom a statement has been going on for half a second, and cancels the statements of those who
are not. Only requests that read are watched: what is written is finished.
"""

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from rest_framework.exceptions import APIException

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.5
"""Seconds between two looks, and how long a statement goes on before anybody looks."""

STATUS: Final = 499
"""What is counted and logged for such a request, as by other web servers; nobody receives it."""

_GONE: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL

_client: ContextVar[socket.socket | None] = ContextVar("client_of_the_request", default=None)


class ClientHungUp(APIException):
    """Nobody waits for the answer any more."""

    status_code = STATUS
    default_detail = "The client has hung up."


def has_hung_up(client: socket.socket) -> bool:
    """Return whether the client has closed its side, whatever it sent before."""
    if client.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return any(events & _GONE for _, events in poll.poll(0))


def client_of(request: HttpRequest) -> socket.socket | None:
    """Return the connection that a request came by, if gunicorn lends it to us."""
    return request.META.get("gunicorn.socket")


class HangUpMiddleware:
    """Has the statements of reading requests end when their client hangs up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        if request.method not in ("GET", "HEAD"):
            return self._get_response(request)
        token = _client.set(client_of(request))
        try:
            return self._get_response(request)
        finally:
            _client.reset(token)

    def process_exception(
        self, _request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """Let a view outside the REST framework not fail because of it."""
        if isinstance(exception, ClientHungUp):
            return JsonResponse({"detail": str(exception.detail)}, status=STATUS)
        return None


class _Statement:
    """A statement that goes on, for a client."""

    def __init__(self, client: socket.socket, database: Any) -> None:
        self.began = time.monotonic()
        self.is_cancelled = False
        self._client = client
        self._database = database
        self._mutex = threading.Lock()
        self._has_ended = False

    def end(self) -> None:
        """Note its end: from now on the connection may be working on something else."""
        with self._mutex:
            self._has_ended = True

    def cancel_if_unwanted(self) -> None:
        """Cancel it if it goes on and its client has hung up."""
        with self._mutex:
            if not self._has_ended and has_hung_up(self._client):
                self._database.cancel()
                self.is_cancelled = True


class Watch:
    """The statements of a process that clients wait for, and the thread that looks after them."""

    def __init__(self) -> None:
        self._statements: dict[_Statement, None] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the statements of this process, on all its connections to the database."""
        self._thread = threading.Thread(target=self._look_for_ever, name="hang-up", daemon=True)
        self._thread.start()
        connection_created.connect(self._on_connection, dispatch_uid=__name__, weak=False)

    def _on_connection(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        if self._execute not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, self._execute)

    def _execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Execute a statement. Raises ClientHungUp if it was cancelled."""
        client = _client.get()
        if client is None:
            return execute(sql, params, many, context)
        statement = _Statement(client, context["connection"].connection)
        self._statements[statement] = None
        try:
            return execute(sql, params, many, context)
        except Error as error:
            if statement.is_cancelled:
                raise ClientHungUp from error
            raise
        finally:
            del self._statements[statement]
            statement.end()

    def _look_for_ever(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Cancel what has gone on for a while and nobody waits for."""
        before = time.monotonic() - LOOK_EVERY
        # A copy is made at once, so that threads may begin and end statements meanwhile.
        for statement in list(self._statements):
            if statement.began <= before:
                self._cancel(statement)

    def _cancel(self, statement: _Statement) -> None:
        try:
            statement.cancel_if_unwanted()
        except Exception:
            logger.exception("A statement that nobody waits for could not be cancelled")


_watch = Watch()


def watch_clients() -> None:
    """Begin to end the statements of clients that hang up, in this process."""
    _watch.start()
