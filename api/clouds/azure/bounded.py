"""Answers that neither fill the memory nor drip for ever (decision 43).

The SDK reads an answer whole, however far its compression is unpacked, and its time-out is for each
piece of it.
"""

import time
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from api.clouds.azure.errors import AzureBusyError

MOST_BYTES = 96 * 1024 * 1024
"""Of one answer, unpacked. The largest one, the sizes of all places (K1), has about 40 MB."""

MOST_SECONDS = 120.0
"""From the headers of an answer to its end."""

PIECE = 16 * 1024
"""Bytes that are read at once; unpacked, they may be a thousand times as many."""


class _BoundedAdapter(HTTPAdapter):
    """Sends requests, and bounds the bodies of what is answered."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request; return the answer, whose body is still to be read."""
        response = super().send(*args, **options)
        response.raw = _BoundedBody(response.raw)
        return response


class _BoundedBody:
    """The body of an answer, as requests reads it from urllib3."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, _size: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield the body in pieces as they come. Raises ``AzureBusyError`` at a limit."""
        until = time.monotonic() + MOST_SECONDS
        left = MOST_BYTES
        while piece := self._raw.read1(PIECE, decode_content=decode_content):
            left -= len(piece)
            if left < 0 or time.monotonic() > until:
                self._raw.close()
                raise AzureBusyError(
                    "EndlessAnswer" if left >= 0 else "HugeAnswer", "an answer is not read whole"
                )
            yield piece


def bounded_session() -> requests.Session:
    """Make a session whose answers have limits, for the SDK's transport."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _BoundedAdapter())
    return session
