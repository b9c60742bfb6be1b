"""What is no request at all, or a request with a body that is none (issue 14, items 15 and 24).

A real gunicorn with a real database: whoever sends what, the answer is a client's error in JSON, no
header chooses another path than the one that a gateway saw, and the next client is served.
"""

import json
import socket

import pytest
import requests

from deployment.local.ports import LOOPBACK
from tests.api.public.callers import identity
from tests.cloudigrade.conftest import gunicorn_on_the_tests_database

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
]

HOST = b"Host: localhost\r\n"
GET = b"GET /api/cloudigrade/v2/ HTTP/1.1\r\n" + HOST
ACCOUNTS = "/internal/api/cloudigrade/v1/accounts/"
POST = (
    b"POST %s HTTP/1.1\r\n" % ACCOUNTS.encode()
    + HOST
    + b"Content-Type: application/json\r\nX-RH-IDENTITY: %s\r\n" % identity(org_id="1").encode()
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

NO_REQUESTS = {
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length with sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "length with underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "length that is no number": POST + b"Content-Length: x\r\n\r\n",
    "length in other digits": POST + "Content-Length: \u0661\r\n\r\nx".encode(),
    "length of 19 digits": POST + b"Content-Length: 9999999999999999999\r\n\r\n{}",
    "length of 400 digits": POST + b"Content-Length: %s\r\n\r\n{}" % (b"9" * 400),
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "no colon": GET + b"X-RH-CLOUDIGRADE-PSK tell-nobody\r\n\r\n",
    "no name": GET + b": b\r\n\r\n",
    "blank in a name": GET + b"X-RH-CLOUDIGRADE-PSK : tell-nobody\r\n\r\n",
    "folded header": GET + b"X-A: b\r\n c\r\n\r\n",
    "NUL": GET + b"X-A: tell-nobody\0\r\n\r\n",
    "carriage return": GET + b"X-A: b\rc\r\n\r\n",
    "two hosts": GET + b"Host: evil.example\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "no version": b"GET / HTTP/x\r\n" + HOST + b"\r\n",
    "method": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the path": b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "long path": b"GET /%s HTTP/1.1\r\n" % (b"a" * 9000) + HOST + b"\r\n",
    "many headers": GET + b"X-A: b\r\n" * 300 + b"\r\n",
    "expectation": GET + b"Expect: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "proxy protocol": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "chunk without size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "huge chunk": CHUNKED + b"f" * 30 + b"\r\n{}\r\n0\r\n\r\n",
    "chunk longer than told": CHUNKED + b"2\r\n{}0\r\n\r\n",
    "malformed extension": CHUNKED + b"2;a=\n\r\n{}\r\n0\r\n\r\n",
    "other compression": POST
    + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0",
    "empty chunks": CHUNKED + b"0\r\n\r\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory, django_db_setup):
    """A port, and the log of whoever serves there."""
    with gunicorn_on_the_tests_database(tmp_path_factory.mktemp("gunicorn")) as found:
        yield found


def ask(port: int, data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send bytes, and no more; return the status, the headers and all that comes after them."""
    with socket.create_connection((LOOPBACK, port), timeout=60) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    line, *headers = head.decode("latin1").split("\r\n")
    named = dict(header.lower().split(": ", 1) for header in headers)
    return line.partition(" ")[2], named, body


@pytest.mark.parametrize("kind", NO_REQUESTS)
def test_what_is_no_request_is_a_clients_error(served, kind):
    port, log = served
    status, headers, body = ask(port, NO_REQUESTS[kind])
    assert status[:1] == "4", status
    assert headers["content-type"] == "application/json"
    # One answer and no more: nothing is left for whoever uses the connection next.
    assert len(body) == int(headers["content-length"])
    assert json.loads(body)
    assert requests.get(f"http://{LOOPBACK}:{port}/internal/livez/", timeout=60).ok
    assert "tell-nobody" not in log.read_text()
    assert "Traceback" not in log.read_text()


def test_half_a_request_that_is_no_more_continued_is_told(served):
    port, _ = served
    status, _, body = ask(port, b"GET / HTTP/1.1\r\nHost: loc")
    assert (status, json.loads(body)) == ("400 Bad Request", {"detail": "Bad request."})


@pytest.mark.parametrize(
    "header", ["SCRIPT_NAME", "PATH_INFO", "Script-Name", "Path-Info", "REQUEST_METHOD"]
)
def test_no_header_leads_to_another_path(served, header):
    """Whom a gateway lets ask for the one must not get the other."""
    port, _ = served
    value = b"/internal/livez/" if "ath" in header.lower() else b"/api/cloudigrade/v2"
    path = b"/api/cloudigrade/v2/internal/livez/"
    request = b"GET %s HTTP/1.1\r\n%s%s: %s\r\n\r\n" % (path, HOST, header.encode(), value)
    status, _, _ = ask(port, request)
    assert status == "404 Not Found"


@pytest.mark.parametrize(
    "body",
    [
        b"14\r\n%s\r\n0\r\n\r\n",
        b"5\r\n%.5s\r\nf\r\n%s\r\n0\r\n\r\n",
        b"14;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n",
    ],
)
def test_a_body_in_chunks_is_read(served, body):
    """It was taken for an empty one."""
    port, _ = served
    text = b'{"cloud_type": "mo"}'
    assert len(text) == 0x14
    parts = (text[:5], text[5:]) if body.count(b"%") == 2 else (text,)
    status, _, answer = ask(port, CHUNKED + body % parts)
    assert status == "400 Bad Request"
    assert "mo" in json.loads(answer)["cloud_type"][0]
