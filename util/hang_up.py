"""Clients that hang up while their request is answered: their statements end (spec 11 §4).

A page that takes long keeps the database busy for a client that may be gone, which asks again. So
each worker of gunicorn has a thread that looks, twice a second, whether the clients are still there
for whom a statement has been going on for half a second, and cancels the statements of those who
are not. Only requests that read are watched: what is written is finished.

A client that has closed its sending side alone, as ``nc -N`` does, still reads; to us it looks like
one that has gone, until we send something: only then its system says that nobody is there. So such
a client is sent an interim answer, ``100 Continue``, which HTTP lets every client expect.
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

SILENCE: Final = 0.75
"""Seconds after which a client who sends no more, and cannot be asked, counts as gone."""

STATUS: Final = 499
"""What is counted and logged for such a request, as by other web servers; nobody receives it."""

_INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_ASKABLE: Final = "HTTP/1.1"
"""The protocol of clients that understand interim answers."""

_GONE: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL
_NAME: Final = "cloudigrade.client"


class ClientHungUp(APIException):
    """Nobody waits for the answer any more."""

    status_code = STATUS
    default_detail = "The client has hung up."


class Client:
    """Who waits for the answer to a request; not to be asked by two threads at once."""

    def __init__(self, connection: socket.socket, *, understands_interim_answers: bool) -> None:
        self._connection = connection
        self._can_be_asked = understands_interim_answers
        self._was_asked = False
        self._silent_since: float | None = None

    def answer_begins(self) -> None:
        """Note that the connection belongs to the answer from now on."""
        self._can_be_asked = False

    def has_hung_up(self) -> bool:
        """Return whether nobody reads the answer, as far as that can be known without waiting.

        It is known a moment after a client has gone: at the next question, or the one after that.
        """
        events = self._events()
        if events & _GONE:
            return True
        if not events:
            return False
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        if self._was_asked:
            # Who has gone would have told us.
            return False
        if self._can_be_asked:
            return not self._ask()
        return time.monotonic() - self._silent_since >= SILENCE

    def _events(self) -> int:
        if self._connection.fileno() < 0:
            return select.POLLNVAL
        poll = select.poll()
        poll.register(self._connection, select.POLLRDHUP)
        return next((events for _, events in poll.poll(0)), 0)

    def _ask(self) -> bool:
        """Send an interim answer, without waiting; return whether it could be sent."""
        try:
            self._connection.send(_INTERIM, socket.MSG_DONTWAIT)
        except OSError:
            return False
        self._was_asked = True
        return True


_client: ContextVar[Client | None] = ContextVar("client_of_the_request", default=None)


def client_of(request: HttpRequest) -> Client | None:
    """Return who waits for the answer to a request, if that is watched."""
    return request.META.get(_NAME)


class HangUpMiddleware:
    """Has the statements of reading requests end when their client hangs up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        connection = request.META.get("gunicorn.socket")
        if connection is None or request.method not in ("GET", "HEAD"):
            return self._get_response(request)
        is_new = request.META.get("SERVER_PROTOCOL") == _ASKABLE
        client = request.META[_NAME] = Client(connection, understands_interim_answers=is_new)
        token = _client.set(client)
        try:
            return self._get_response(request)
        finally:
            client.answer_begins()
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

    def __init__(self, client: Client, database: Any) -> None:
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
            if not self._has_ended and self._client.has_hung_up():
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
