"""Errors (01 §4)."""

import logging

import psycopg2
import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404
from django.test import Client
from django.urls import include, path
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from api.models import User

RAISED = {
    "http404": Http404("No User matches the given query."),
    "not_found": exceptions.NotFound(),
    "denied": PermissionDenied("secret"),
    "unexpected": RuntimeError("SELECT secret"),
    "server": exceptions.APIException(),
    "own": exceptions.APIException("told on purpose"),
    "validation": exceptions.ValidationError({"name": ["bad"], "age": ["worse"]}),
    "throttled": exceptions.Throttled(wait=1.5),
}
CAUSES = {
    "lock": psycopg2.errors.LockNotAvailable(),
    "deadlock": psycopg2.errors.DeadlockDetected(),
    "statement": psycopg2.errors.QueryCanceled(),
    "gone": psycopg2.OperationalError("server closed the connection"),
}


class Failing(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request, what):
        if what == "writing":
            User.objects.create(account_number="written")
            raise RuntimeError
        if what in RAISED:
            raise RAISED[what]
        if what in CAUSES:
            raise OperationalError("canceling statement due to secret") from CAUSES[what]
        return Response({"ü": what})


def broken(_request):
    raise RuntimeError("SELECT secret")


urlpatterns = [
    path("failing/<str:what>/", Failing.as_view()),
    path("broken/", broken),
    path("", include("cloudigrade.urls")),
]
handler400 = "util.errors.bad_request"
handler403 = "util.errors.forbidden"
handler404 = "util.errors.not_found"
handler500 = "util.errors.server_error"

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


@pytest.mark.parametrize(
    ("what", "status", "body"),
    [
        ("http404", 404, b'{"detail":"Not found."}'),
        ("not_found", 404, b'{"detail":"Not found."}'),
        ("denied", 403, b'{"detail":"You do not have permission to perform this action."}'),
        ("unexpected", 500, b'{"detail":"A server error occurred."}'),
        ("server", 500, b'{"detail":"A server error occurred."}'),
        ("own", 500, b'{"detail":"told on purpose"}'),
        ("validation", 400, b'{"name":["bad"],"age":["worse"]}'),
        ("fine", 200, '{"ü":"fine"}'.encode()),
    ],
)
def test_answers(client, what, status, body):
    response = client.get(f"/failing/{what}/")
    assert (response.status_code, response.content) == (status, body)
    assert response["Content-Type"] == "application/json"
    assert "WWW-Authenticate" not in response


def test_method_and_accept(client):
    response = client.post("/failing/fine/")
    assert (response.status_code, response.json()) == (
        405,
        {"detail": 'Method "POST" not allowed.'},
    )
    assert response["Allow"] == "GET, HEAD, OPTIONS"
    response = client.get("/failing/fine/", headers={"accept": "text/html"})
    assert (response.status_code, response.json()) == (
        406,
        {"detail": "Could not satisfy the request Accept header."},
    )


def test_who_has_to_wait_is_told_how_long(client):
    assert client.get("/failing/throttled/")["Retry-After"] == "2"


@pytest.mark.parametrize("what", ["lock", "deadlock", "statement"])
def test_what_takes_the_database_too_long_is_a_503(client, what):
    """Decision 42."""
    response = client.get(f"/failing/{what}/")
    assert response.status_code == 503
    assert response.json() == {"detail": "The service is busy, try again later."}
    assert response["Retry-After"] == "5"


def test_a_database_that_is_gone_is_another_error(client):
    assert client.get("/failing/gone/").status_code == 500


@pytest.mark.parametrize("what", ["unexpected", "server", "own"])
def test_server_errors_are_logged_with_their_stack(client, what, caplog):
    client.get(f"/failing/{what}/")
    [record] = [record for record in caplog.records if record.name == "util.errors"]
    assert record.levelno == logging.ERROR
    assert record.exc_info[1] is RAISED[what]
    assert f"GET /failing/{what}/ failed" in record.getMessage()


@pytest.mark.parametrize("what", ["http404", "validation", "denied"])
def test_the_client_s_own_faults_are_not(client, what, caplog):
    client.get(f"/failing/{what}/")
    assert not [record for record in caplog.records if record.name == "util.errors"]


def test_a_failed_request_leaves_nothing_behind(client):
    assert client.get("/failing/writing/").status_code == 500
    assert not User.objects.exists()


def test_what_fails_outside_the_framework_is_json_too():
    response = Client(raise_request_exception=False).get("/broken/")
    assert (response.status_code, response.content) == (
        500,
        b'{"detail":"A server error occurred."}',
    )


@pytest.mark.parametrize("debug", [False, True])
def test_unmatched_urls(client, settings, debug):
    settings.DEBUG = debug
    response = client.get("/no/such/url")
    assert (response.status_code, response.content) == (404, b'{"detail":"Not found."}')
    assert response["Content-Type"] == "application/json"


def test_a_browser_gets_django_s_page_while_debugging(client, settings):
    settings.DEBUG = True
    response = client.get("/no/such/url", headers={"accept": "text/html,*/*"})
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete", "options"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_missing_slash_is_added_for_every_method(client, settings, method, debug):
    settings.DEBUG = debug
    response = getattr(client, method)("/failing/fine?a=b&c=%C3%BC")
    assert response.status_code == 301
    assert response["Location"] == "/failing/fine/?a=b&c=%C3%BC"


def test_only_known_urls_get_a_slash(client):
    assert client.get("/no-such-thing").status_code == 404
    assert client.get("//evil.example/failing").status_code == 404


def test_headers_and_cookies(client):
    response = client.get("/failing/fine/")
    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    assert {name: response[name] for name in expected} == expected
    assert not response.cookies
    assert "Vary" not in response
    assert "ETag" not in response
