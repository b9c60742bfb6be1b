"""Bodies of answers that have no end, or end too soon (issue 14, decision 43): a real server."""

import gzip
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests

from api.clouds.azure import bounded
from api.clouds.azure.bounded import bounded_session
from api.clouds.azure.errors import AzureBusyError
from deployment.local.ports import LOOPBACK

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers with these headers and pieces; returns its URL."""
    servers = []

    def start(*pieces: bytes, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{LOOPBACK}:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def get(url: str) -> bytes:
    return bounded_session().get(url, timeout=60).content


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 100_000])
def test_what_ends_is_read_whole(serve, body):
    assert get(serve(body, Content_Length=str(len(body)))) == body
    assert get(serve(body)) == body
    packed = gzip.compress(body)
    assert get(serve(packed, Content_Encoding="gzip", Content_Length=str(len(packed)))) == body
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    assert get(serve(chunk, b"0\r\n\r\n", Transfer_Encoding="chunked")) == body


def test_a_bomb_is_not_unpacked(serve, monkeypatch):
    monkeypatch.setattr(bounded, "MOST_BYTES", 1024 * 1024)
    bomb = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=1)
    url = serve(bomb, Content_Encoding="gzip", Content_Length=str(len(bomb)))
    with pytest.raises(AzureBusyError) as raised:
        get(url)
    assert raised.value.code == "HugeAnswer"


@pytest.mark.parametrize("headers", [{"Content_Length": "99999999"}, {}])
def test_what_is_huge_is_not_read(serve, monkeypatch, headers):
    monkeypatch.setattr(bounded, "MOST_BYTES", 1024 * 1024)
    with pytest.raises(AzureBusyError) as raised:
        get(serve(*[b"x" * 65536] * 40, **headers))
    assert raised.value.code == "HugeAnswer"


def test_what_drips_is_left(serve, monkeypatch):
    """Each piece comes in time, and the whole never would."""
    monkeypatch.setattr(bounded, "MOST_SECONDS", -1)
    with pytest.raises(AzureBusyError) as raised:
        get(serve(b"x", Content_Length="2"))
    assert raised.value.code == "EndlessAnswer"


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ([b"{"], {"Content_Length": "2"}),
        ([], {"Content_Length": "2"}),
        ([b"5\r\n{"], {"Transfer_Encoding": "chunked"}),
        ([b"nonsense\r\n{}\r\n"], {"Transfer_Encoding": "chunked"}),
        ([b"2\r\n{}\r\n"], {"Transfer_Encoding": "chunked"}),
        ([b"{}"], {"Content_Encoding": "gzip", "Content_Length": "2"}),
    ],
)
def test_what_ends_too_soon_is_an_error(serve, pieces, headers):
    with pytest.raises(requests.RequestException):
        get(serve(*pieces, **headers))
