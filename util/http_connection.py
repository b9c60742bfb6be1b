"""A client's connection that makes no thread wait for the client (spec decision 45).

``BufferedConnection`` gathers a request in the worker's event loop until a thread can read all of
it at once. ``ClientSocket`` bounds what a thread waits for where it reads or writes all the same.
"""

import errno
import re
import socket
import time
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import TConn

READ_SECONDS = 10.0
"""How long a client may take to send a request, headers and body together."""

SEND_SECONDS = 30.0
"""How long a client may take to accept one piece of a response."""

LINGER_SECONDS = 2.0
"""How long a closed connection is drained, so that the client reads the last response whole."""

MAX_HEAD = 256 * 1024
"""Bytes of a request line and headers; gunicorn's own limits are checked when they are whole."""

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a body that is gathered; a thread reads a larger one itself, until the deadline."""

CHUNK = 64 * 1024

_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_ENDLESS = re.compile(rb"\r\ncontent-length:[ \t]*0*[1-9][0-9]{18,}[ \t]*\r\n", re.IGNORECASE)
"""A body of more bytes than there are."""
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_PROBE = re.compile(rb"(?:GET|HEAD) (?:/internal)?/(?:livez|readyz|healthz)\b")


class ClientSocket(socket.socket):
    """A socket on which no thread waits beyond a deadline.

    Where gunicorn asks for a blocking socket it gets one that gives up in time. A client that is
    too slow is treated like one that has hung up.
    """

    read_until: float | None = None
    is_at_odds: bool = False
    """Whether it is not known where the body of the last request ended."""

    def setblocking(self, flag: bool, /) -> None:
        """Make the socket wait, but not for ever, or not at all."""
        self.settimeout(SEND_SECONDS if flag else 0.0)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read what is there, waiting until the request's deadline at most.

        Raises ConnectionResetError when the deadline has passed.
        """
        if self.read_until is not None and self.gettimeout() != 0.0:
            self.settimeout(max(self.read_until - time.monotonic(), 0.001))
            try:
                return super().recv(size, flags)
            except TimeoutError as error:
                raise ConnectionResetError(errno.ECONNRESET, "request not sent in time") from error
            finally:
                self.settimeout(SEND_SECONDS)
        return super().recv(size, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Write a piece of a response. Raises BrokenPipeError if the client does not take it."""
        try:
            super().sendall(data, flags)
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, "response not taken in time") from error


class BufferedConnection(TConn):
    """A connection and what has been received of its next request.

    ``timeout`` is the moment, by the monotonic clock, at which waiting ends.
    """

    def __init__(self, cfg: Any, client_socket: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, ClientSocket(fileno=client_socket.detach()), client, server)
        self.parser: Any = None
        self.received = bytearray()
        self.lingering = False
        self.timeout: float = time.monotonic() + READ_SECONDS
        self._forget()

    def _forget(self) -> None:
        self._searched = 0
        self._needed: int | None = None
        self._chunks_from: int | None = None
        self._is_endless = False

    def receive(self) -> bool:
        """Take what the client has sent; False if it has hung up. Raises BlockingIOError."""
        data = self.sock.recv(CHUNK)
        if not data:
            return False
        if self.lingering:
            return True
        if not self.received:
            self.timeout = time.monotonic() + READ_SECONDS
        self.received += data
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a next request has arrived."""
        return not self.received and not self.lingering

    @property
    def is_probe(self) -> bool:
        """Whether the request is one of an orchestrator's probes."""
        return _PROBE.match(self.received) is not None

    @property
    def head_is_too_long(self) -> bool:
        """Whether the client has sent more headers than any server would read."""
        return self._needed is None and self._chunks_from is None and len(self.received) > MAX_HEAD

    @property
    def body_is_too_long(self) -> bool:
        """Whether the headers, which have arrived, promise a body that never ends."""
        return self._is_endless

    def is_complete(self) -> bool:
        """Check whether a thread can read the request without waiting for the client.

        A body in chunks may be taken for whole too early, where data look like its end: the thread
        then reads the rest itself. The same goes for bodies of more than ``MAX_BODY`` bytes.
        """
        if self._needed is None and self._chunks_from is None and not self._find_body():
            return False
        if self._needed is not None:
            return len(self.received) >= self._needed
        body = len(self.received) - (self._chunks_from or 0)
        ended = body >= len(_LAST_CHUNK) and self.received.endswith(_END_OF_HEAD)
        return ended or body > MAX_BODY

    def _find_body(self) -> bool:
        end = self.received.find(_END_OF_HEAD, self._searched)
        if end < 0:
            self._searched = max(len(self.received) - len(_END_OF_HEAD) + 1, 0)
            return False
        body = end + len(_END_OF_HEAD)
        head = bytes(self.received[: end + 2])
        length = _CONTENT_LENGTH.search(head)
        self._is_endless = _ENDLESS.search(head) is not None
        if _CHUNKED.search(head):
            self._chunks_from = body
        else:
            size = int(length[1]) if length else 0
            self._needed = body + (size if size <= MAX_BODY else 0)
        if _EXPECT.search(head) and len(self.received) == body:
            self._invite_body()
        return True

    def _invite_body(self) -> None:
        try:
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        except OSError:
            # The client finds out by itself, or has hung up.
            return

    def hand_over(self) -> None:
        """Return what was received to gunicorn's parser, for a thread to work on."""
        if self.parser is None:
            self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()
        self._forget()
        self.data_ready = True
        self.sock.read_until = self.timeout

    def take_back(self, keepalive: float) -> None:
        """Wait for the client's next request, part of which may have arrived already."""
        self.received += self.parser.unreader.take_buffered()
        wait = READ_SECONDS if self.received else keepalive
        self.timeout = time.monotonic() + wait
        self.sock.read_until = None
        self.sock.setblocking(False)

    def linger(self) -> None:
        """Close the sending side; what the client still sends is drained for a moment.

        Raises OSError if the client has hung up already.
        """
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.read_until = None
        self.sock.setblocking(False)
        self.received.clear()
        self.lingering = True
        self.timeout = time.monotonic() + LINGER_SECONDS

    def refuse(self, status: str, detail: str) -> None:
        """Say why the connection is closed, if the client can be told without waiting."""
        refuse(self.sock, status, detail)


def refuse(client: socket.socket, status: str, detail: str) -> None:
    """Answer what is no request, if the client can be told without waiting."""
    body = b'{"detail":"%s"}' % detail.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        "\r\nConnection: close\r\n\r\n"
    )
    try:
        client.send(head.encode() + body, socket.MSG_DONTWAIT)
    except OSError:
        # A client that does not read has lost its answer.
        return
