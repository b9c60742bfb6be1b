"""Compressed responses for clients that accept them (spec decision 45)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from isal import isal_zlib

MIN_BYTES = 1024
"""Shorter responses are not worth the work."""

LEVEL = 2
"""ISA-L's level: results as small as zlib's at level 3, for a twentieth of the time."""

GZIP_FORMAT = 31
"""zlib's number for the gzip format with its largest window."""

_COMPRESSIBLE = ("application/json", "application/vnd.oai", "application/x-ndjson", "text/")


class CompressionMiddleware:
    """Compresses responses of more than ``MIN_BYTES`` with gzip, for clients that accept it.

    Then, and only then, the response says ``Vary: Accept-Encoding``. Streams are compressed piece
    by piece, whatever their length.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        response = self.get_response(request)
        if _is_compressible(response) and accepts_gzip(request.headers.get("Accept-Encoding", "")):
            _compress(response)
        return response


def _is_compressible(response: Any) -> bool:
    if response.status_code == 206 or response.has_header("Content-Encoding"):
        return False
    if not response.headers.get("Content-Type", "").startswith(_COMPRESSIBLE):
        return False
    if response.streaming:
        # Static files bring compressed variants of their own.
        return not isinstance(response, FileResponse)
    return len(response.content) > MIN_BYTES


def accepts_gzip(header: str) -> bool:
    """Return whether a client wants gzip rather than nothing, by its header Accept-Encoding."""
    qualities: dict[str, float] = {}
    for part in header.split(","):
        coding, *parameters = (piece.strip().lower() for piece in part.split(";"))
        qualities[coding] = _quality(parameters)
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _compress(response: Any) -> None:
    if response.streaming:
        response.streaming_content = _compressed(response.streaming_content)
        response.headers.pop("Content-Length", None)
    else:
        response.content = b"".join(_compressed([response.content]))
        response.headers["Content-Length"] = str(len(response.content))
    response.headers["Content-Encoding"] = "gzip"
    patch_vary_headers(response, ("Accept-Encoding",))


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP_FORMAT)
    for piece in pieces:
        compressed = compressor.compress(piece)
        if compressed:
            yield compressed
    yield compressor.flush()
