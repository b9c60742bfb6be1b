"""Slow, silent and hostile clients of the HTTP process (spec decision 45)."""

import gzip
import json
import socket
import time
from contextlib import ExitStack, contextmanager

import pytest
import requests

from tests.cloudigrade.clowder import CDAPPCONFIG
from tests.cloudigrade.conftest import gunicorns
from tests.cloudigrade.programs import free_port
from util import http_connection

pytestmark = pytest.mark.e2e

NOWHERE = "/no-such-thing"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Serve with as few threads as there can be, and nothing behind them."""
    port = free_port()
    with gunicorns(tmp_path_factory.mktemp("gunicorn")) as start:
        start(
            f"http://127.0.0.1:{port}{NOWHERE}",
            GUNICORN_BIND=f"127.0.0.1:{port}",
            GUNICORN_WORKERS="1",
            GUNICORN_THREADS="1",
        )
        yield port


@contextmanager
def client(port, data=b""):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(data)
        yield connection


def read_to_end(connection):
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def read_response(connection):
    """Read one response whose length is told, and nothing of the next one."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += (letter := connection.recv(1))
        assert letter, head
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += (piece := connection.recv(length - len(body)))
        assert piece, body
    return head, body


HALVES = {
    "nothing": b"",
    "a line": b"GET /internal/healthz/ HT",
    "headers": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b",
    "body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    "chunks": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "invited": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
}


@pytest.mark.parametrize("half", HALVES)
def test_half_sent_requests_keep_nobody_from_an_answer(port, half):
    """Fault 24: 24 of them, for one thread; all are still open when others are answered."""
    with ExitStack() as stack:
        slow = [stack.enter_context(client(port, HALVES[half])) for _ in range(24)]
        probe = requests.get(f"http://127.0.0.1:{port}/internal/livez/", timeout=60)
        assert probe.json() == {"status": "alive"}
        other = requests.get(f"http://127.0.0.1:{port}{NOWHERE}", timeout=60)
        assert other.status_code == 404
        for connection in slow:
            connection.setblocking(False)
            try:
                left = connection.recv(100)
            except BlockingIOError:
                continue
            assert left.startswith(b"HTTP/1.1 100 Continue"), left


def test_who_does_not_send_a_request_in_time_is_told_so(port):
    """The deadline holds for the request as a whole, however often a byte arrives."""
    with client(port, HALVES["headers"]) as connection:
        connection.settimeout(0.2)
        received = b""
        deadline = time.monotonic() + 90
        while b"\r\n\r\n" not in received:
            assert time.monotonic() < deadline
            try:
                connection.sendall(b"x")
                received += connection.recv(1000)
            except TimeoutError:
                continue
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body) == {"detail": "The request was not sent in time."}


def test_endless_headers_are_refused(port):
    with client(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n") as connection:
        received = b""
        try:
            for _ in range(http_connection.MAX_HEAD // 1000 * 2):
                connection.sendall(b"X-A: " + b"b" * 995)
            received = read_to_end(connection)
        except ConnectionError:
            received = received or b"HTTP/1.1 431 "
    assert received.startswith(b"HTTP/1.1 431 ")
    assert requests.get(f"http://127.0.0.1:{port}{NOWHERE}", timeout=60).status_code == 404


def test_connections_are_kept_and_requests_may_come_in_pieces_or_together(port):
    one = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % NOWHERE.encode()
    with client(port) as connection:
        for position in range(len(one)):
            connection.sendall(one[position : position + 1])
        assert read_response(connection)[0].startswith(b"HTTP/1.1 404 ")
        connection.sendall(one + one + one[:20])
        for _ in range(2):
            assert read_response(connection)[0].startswith(b"HTTP/1.1 404 ")
        connection.sendall(one[20:])
        head, body = read_response(connection)
        assert head.startswith(b"HTTP/1.1 404 ")
        assert json.loads(body) == {"detail": "Not found."}


BODIES = {
    "whole": (b"Content-Length: 11\r\n", b'{"a": "b"} '),
    "in chunks": (b"Transfer-Encoding: chunked\r\n", b'5\r\n{"a":\r\n5\r\n "b"}\r\n0\r\n\r\n'),
    "with a trailer": (b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\nX-A: b\r\n\r\n"),
    "like an end": (b"Transfer-Encoding: chunked\r\n", b"6\r\n{}\r\n\r\n\r\n0\r\n\r\n"),
    "invited": (b"Content-Length: 2\r\nExpect: 100-continue\r\n", b"{}"),
    "large": (b"Content-Length: 5000000\r\n", b" " * 4999998 + b"{}"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_bodies_arrive_as_they_were_sent(port, kind):
    """A task that nobody knows is refused by the view, which has then read the body."""
    headers, body = BODIES[kind]
    path = b"/internal/api/cloudigrade/v1/sources_kafka/"
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % path
    with client(port, head + headers + b"Connection: close\r\n\r\n") as connection:
        for position in range(0, len(body), 100_000):
            connection.sendall(body[position : position + 100_000])
        received = read_to_end(connection)
    while received.startswith(b"HTTP/1.1 100 "):
        received = received.partition(b"\r\n\r\n")[2]
    assert received.startswith(b"HTTP/1.1 4"), received[:300]


def test_who_does_not_close_the_connection_keeps_nobody_waiting(port):
    """The worker waits for its clients' last word in the event loop only."""
    request = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % NOWHERE.encode()
    with ExitStack() as stack:
        lasting = [stack.enter_context(client(port, request)) for _ in range(12)]
        for connection in lasting:
            assert read_response(connection)[0].startswith(b"HTTP/1.1 404 ")
        assert requests.get(f"http://127.0.0.1:{port}{NOWHERE}", timeout=60).status_code == 404


def test_an_unanswered_request_keeps_no_probe_waiting(port):
    """Probes have threads of their own: here the only other thread waits for a slow body."""
    large = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n{"
    with client(port, large):
        probe = requests.get(f"http://127.0.0.1:{port}/internal/livez/", timeout=60)
        assert probe.status_code == 200


def test_probes_are_answered_on_the_port_of_metrics_too(gunicorn, tmp_path):
    web_port, metrics_port = free_port(), free_port()
    path = tmp_path / "cdappconfig.json"
    path.write_text(json.dumps({**CDAPPCONFIG, "webPort": web_port, "metricsPort": metrics_port}))
    gunicorn(f"http://127.0.0.1:{web_port}/", ACG_CONFIG=str(path), GUNICORN_WORKERS="1")
    with ExitStack() as stack:
        for port in (web_port, metrics_port):
            for _ in range(24):
                stack.enter_context(client(port, HALVES["headers"]))
        url = f"http://127.0.0.1:{metrics_port}"
        alive = requests.get(f"{url}/internal/livez/", timeout=60)
        assert alive.json() == {"status": "alive"}
        # There is no database behind it.
        assert requests.get(f"{url}/internal/healthz/", timeout=60).status_code == 500
        metrics = requests.get(f"{url}/metrics", headers={"Accept-Encoding": "gzip"}, stream=True)
        assert metrics.headers["Content-Encoding"] == "gzip"
        assert metrics.headers["Vary"] == "Accept-Encoding"
        assert b"python_info" in gzip.decompress(metrics.raw.read())
