"""Style, scripts and vendored files, which the application serves itself in every environment.

They are few and small: they are read once, and browsers keep them for a year, since the URL of each
holds a hash of what is in it.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse

from api.console.views import PREFIX, ConsoleView

FOLDER = Path(__file__).parent / "static"

TYPES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript",
    "vendor/uplot.iife.min.js": "text/javascript",
    "vendor/uplot.min.css": "text/css",
}
"""What can be asked for, and as what it is served."""

_PATHS = {name: FOLDER / name for name in TYPES}

FOREVER = "private, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file with the hash that its URL holds."""

    content: bytes
    digest: str


@cache
def asset(name: str) -> Asset:
    """Return a file of ``TYPES``."""
    content = _PATHS[name].read_bytes()
    return Asset(content, hashlib.sha256(content).hexdigest()[:12])


def url_of(name: str) -> str:
    """Return the URL of a file of ``TYPES``."""
    return f"{PREFIX}static/{asset(name).digest}/{name}"


class AssetView(ConsoleView):
    """One file."""

    def get(self, request: HttpRequest, digest: str, name: str) -> HttpResponse:
        """Return the file; one of another version is not kept by the browser."""
        if name not in TYPES:
            raise Http404
        found = asset(name)
        response = HttpResponse(found.content, content_type=TYPES[name])
        response.headers["Cache-Control"] = FOREVER if digest == found.digest else "no-store"
        return response
