"""The WSGI application takes any Content-Type."""

import io
from wsgiref.util import setup_testing_defaults

import pytest

from cloudigrade.wsgi import application

pytestmark = pytest.mark.django_db

CONTENT_TYPES = [
    "",
    ";",
    "text/plain; charset=utf-16",
    "text/plain; charset=idna",
    "text/plain; charset=rot13",
    "text/plain; charset=nonsense",
    "text/plain; a*=nonsense''%FF",
    "text/plain; charset*=nonsense''%FF",
    "application/json; charset=utf-8",
    "x" * 5000,
]


def status_of(path: str, query: str, content_type: str) -> str:
    environ: dict = {"PATH_INFO": path, "QUERY_STRING": query, "CONTENT_TYPE": content_type}
    setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO()
    statuses: list[str] = []
    body = application(environ, lambda status, _headers: statuses.append(status))
    getattr(body, "close", lambda: None)()
    return statuses[0]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_content_types(content_type):
    path = "/api/cloudigrade/v2/azure-offer-template/"
    assert status_of(path, "a=%C3%A9", content_type) == "200 OK"
    assert status_of(path, "&".join("a" * 1100), content_type) == "400 Bad Request"
