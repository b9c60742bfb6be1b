"""Django behind WSGI, proof against what clients write into the header Content-Type."""

from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters


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


class Handler(WSGIHandler):
    """Django's handler for such requests."""

    request_class = UTF8Request


def django_application() -> Handler:
    """Return the application, with Django set up."""
    django.setup(set_prefix=False)
    return Handler()
