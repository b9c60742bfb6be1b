"""Sessions and cookies are for the pages that people use; the APIs know none of them."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from util import browser

MIDDLEWARE = [
    browser.SessionMiddleware,
    browser.AuthenticationMiddleware,
    browser.MessageMiddleware,
]


def attributes_below(path: str) -> set[str]:
    """Return what the middleware adds to a request, by the names of the attributes."""
    request = HttpRequest()
    request.path_info = request.path = path
    request.META["SERVER_NAME"], request.META["SERVER_PORT"] = "localhost", "80"
    before = set(vars(request))

    def answer(_: HttpRequest) -> HttpResponse:
        return HttpResponse()

    handler: Any = answer

    for middleware in reversed(MIDDLEWARE):
        handler = middleware(handler)
    handler(request)
    return set(vars(request)) - before


@pytest.mark.parametrize("path", ["/admin/", "/internal/console/", "/api-auth/login/"])
def test_pages_have_sessions_users_and_messages(path):
    assert {"session", "user", "_messages"} <= attributes_below(path)


@pytest.mark.parametrize("path", ["/api/cloudigrade/v2/accounts/", "/internal/healthz/", "/adminx"])
def test_other_requests_are_left_as_they_are(path):
    assert attributes_below(path) == set()


def test_other_views_are_protected_from_foreign_forms_all_the_same():
    answer = Client(enforce_csrf_checks=True).post("/internal/livez/")
    assert answer.status_code == 403
