"""Django behind WSGI, proof against what clients write into headers and chunks of a body."""

import io
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters
from gunicorn.http.errors import ParseException


class UTF8Request(WSGIRequest):
    """A request whose parameters are UTF-8, whatever its body is said to be.

    Django reads the query string in the charset of the (perhaps missing) body, and does so before
    anything can catch what goes wrong with a charset such as ``idna``.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(
                meta.get("CONTENT_TYPE", "")
            )
        except ValueError:
            self.content_type, self.content_params = "", {}


class _Broken(io.RawIOBase):
    """A body that cannot be read; Django makes a client's error of it."""

    def readable(self) -> bool:
        """Return that it may be tried."""
        return True

    def readinto(self, _buffer: Any, /) -> int:
        """Raise OSError."""
        raise OSError("the body's chunks are malformed, or did not come in time")


class Handler(WSGIHandler):
    """Django's handler for such requests."""

    request_class = UTF8Request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        if "HTTP_TRANSFER_ENCODING" in environ:
            _gather_chunks(environ)
        return super().__call__(environ, start_response)


def _gather_chunks(environ: dict[str, Any]) -> None:
    """Read a body that comes in chunks; Django reads those alone whose length it is told.

    Of one that is larger than Django would read so much that Django finds that out.
    """
    body: Any
    try:
        data = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    except (OSError, ParseException):
        environ["gunicorn.socket"].is_at_odds = True
        body, length = io.BufferedReader(_Broken()), 1
    else:
        body, length = io.BytesIO(data), len(data)
    environ |= {"wsgi.input": body, "CONTENT_LENGTH": str(length)}


def django_application() -> Handler:
    """Return the application, with Django set up."""
    django.setup(set_prefix=False)
    return Handler()
