"""gunicorn's threaded worker, proof against slow and silent clients (spec decision 45).

gunicorn's ``gthread`` lets a thread read a request from its first byte on, so as many clients as
there are threads stop a worker by never finishing their headers. Here the event loop gathers each
request, and a thread gets it when it is whole. Probes have threads of their own, so that slow
requests do not keep them waiting either. docs/decisions/0101-buffering-http-worker.md says why
this is not left to a proxy.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

from util.http_connection import BufferedConnection, refuse

PROBE_THREADS = 2

_BAD_REQUEST = ("400 Bad Request", "Bad request.")
_REFUSALS: Mapping[type[Exception], tuple[str, str]] = {
    LimitRequestLine: ("414 URI Too Long", "Request line too long."),
    LimitRequestHeaders: ("431 Request Header Fields Too Large", "Request headers too large."),
    ExpectationFailed: ("417 Expectation Failed", "Expectation failed."),
}
_OUR_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)

MAX_BUFFERED = 64 * 1024 * 1024
"""Bytes of unfinished requests that a worker holds; beyond, the oldest are closed."""


class BufferingThreadWorker(ThreadWorker):
    """Waits for whole requests in the event loop, and answers them in threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order in which they began to wait.
        self._waiting: dict[BufferedConnection, None] = {}
        self._buffered = 0
        self._next_check = 0.0
        self._stop_at: float | None = None

    def init_process(self) -> None:
        """Make the threads for probes, then serve."""
        self._probes = ThreadPoolExecutor(PROBE_THREADS, thread_name_prefix="probe")
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Accept a connection and wait for its first request."""
        try:
            client_socket, client = listener.accept()
        except OSError:
            # Another worker was faster, or the client has hung up.
            return
        self.nr_conns += 1
        conn = BufferedConnection(self.cfg, client_socket, client, listener.getsockname())
        self._wait(conn)
        # Most requests have arrived together with their connection.
        self._read(conn)
        self._make_room()

    def _wait(self, conn: BufferedConnection) -> None:
        self._waiting[conn] = None
        self._buffered += len(conn.received)
        if self._stop_at is not None:
            conn.timeout = min(conn.timeout, self._stop_at)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_readable, conn))

    def _on_readable(self, conn: BufferedConnection, _socket: Any) -> None:
        self._read(conn)

    def _read(self, conn: BufferedConnection) -> None:
        before = len(conn.received)
        try:
            connected = conn.receive()
        except BlockingIOError:
            return
        except OSError:
            connected = False
        self._buffered += len(conn.received) - before
        if not connected:
            if not conn.is_idle and not conn.lingering:
                # Of a request that is not continued; its client may still read.
                conn.refuse(*_BAD_REQUEST)
            self._close(conn)
        elif not conn.lingering:
            self._dispatch(conn)

    def _dispatch(self, conn: BufferedConnection) -> None:
        is_complete = conn.is_complete()
        if conn.body_is_too_long:
            conn.refuse("413 Content Too Large", "Request body too large.")
            self._close(conn)
        elif is_complete:
            self._stop_waiting(conn)
            self.enqueue_req(conn)
        elif conn.head_is_too_long:
            conn.refuse("431 Request Header Fields Too Large", "Request headers too large.")
            self._close(conn)

    def _stop_waiting(self, conn: BufferedConnection) -> None:
        del self._waiting[conn]
        self._buffered -= len(conn.received)
        self.poller.unregister(conn.sock)

    def _close(self, conn: BufferedConnection) -> None:
        self._stop_waiting(conn)
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        """Close the oldest unfinished requests while there are too many, or too large ones."""
        while self._waiting and (
            self.nr_conns >= self.worker_connections or self._buffered > MAX_BUFFERED
        ):
            self._close(next(iter(self._waiting)))

    def enqueue_req(self, conn: BufferedConnection) -> None:
        """Have a thread answer a whole request; a probe gets one of those kept for probes."""
        pool = self._probes if conn.is_probe else self.tpool
        conn.hand_over()
        future = pool.submit(self.handle, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Refuse what is no request: in JSON, and as the client's fault, not as ours.

        What was sent is not logged: a malformed header may hold a secret.
        """
        if not isinstance(exc, ParseException) or isinstance(exc, _OUR_FAULTS):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Invalid request from ip=%s: %s", (addr or ("",))[0], type(exc).__name__)
        # What follows a body that is none is no request, and gets no answer of its own.
        if not client.is_at_odds:
            refuse(client, *_REFUSALS.get(type(exc), _BAD_REQUEST))

    def finish_request(self, conn: BufferedConnection, future: "Future[Any]") -> None:
        """Wait for the connection's next request, or close it without waiting for the client."""
        keep = not future.cancelled() and future.exception() is None and bool(future.result())
        try:
            if keep:
                conn.take_back(self.cfg.keepalive)
            else:
                conn.linger()
            self._wait(conn)
        except (OSError, ValueError):
            self.nr_conns -= 1
            conn.close()
            return
        if keep and conn.received:
            self._dispatch(conn)

    def murder_pending(self) -> None:
        """Close the connections that have waited for too long; looks once a second."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + (1.0 if self._stop_at is None else 0.1)
        for conn in [one for one in self._waiting if one.timeout <= now]:
            if conn.received:
                conn.refuse("408 Request Timeout", "The request was not sent in time.")
            self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Begin to stop: wait for no request beyond the deadline."""
        self._stop_at = deadline
        self._next_check = 0.0
        for conn in self._waiting:
            conn.timeout = min(conn.timeout, deadline)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close what still waits when the worker ends."""
        if force:
            for conn in list(self._waiting):
                self._close(conn)
            self._probes.shutdown(wait=False)
