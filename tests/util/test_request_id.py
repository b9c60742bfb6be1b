"""Request ids (01 §3, 08 §6.6, §7)."""

import logging
import uuid

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import RequestFactory

from util.request_id import (
    INSIGHTS_HEADER,
    RESPONSE_HEADER,
    RequestIdFilter,
    RequestIdMiddleware,
    current_insights_request_id,
    current_request_id,
    message_context,
    message_headers,
    request_context,
)


def is_uuid4(text):
    return str(uuid.UUID(text, version=4)) == text


def ids_in_log():
    """The ids that a log record of this moment has."""
    record = logging.makeLogRecord({})
    assert RequestIdFilter().filter(record)
    return record.__dict__["requestid"], record.__dict__["insights_requestid"]


def test_there_is_none_outside_of_requests():
    """08 §26.14."""
    assert current_request_id() is None
    assert ids_in_log() == (None, None)


@pytest.fixture
def no_database():
    """Closing a response lets go of the database, which other tests in this process may use."""
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


def test_a_request_has_a_fresh_one_in_its_response_and_its_log_lines(no_database):
    seen = []

    def view(_request):
        seen.append(ids_in_log())
        return HttpResponse()

    request = RequestFactory().get(
        "/", headers={INSIGHTS_HEADER: "platform", RESPONSE_HEADER: "mine"}
    )
    first = RequestIdMiddleware(view)(request)
    first.close()
    assert is_uuid4(first[RESPONSE_HEADER])
    assert seen == [(first[RESPONSE_HEADER], "platform")]
    assert current_request_id() is None
    assert current_insights_request_id() is None
    second = RequestIdMiddleware(view)(RequestFactory().get("/"))
    second.close()
    assert second[RESPONSE_HEADER] != first[RESPONSE_HEADER]
    assert seen[1] == (second[RESPONSE_HEADER], None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/no/such/url", 404),
        ("post", "/api-auth/login", 301),
        ("get", "/api-auth/login", 301),
    ],
)
def test_answers_that_no_view_makes_have_one_too(client, method, path, status):
    response = getattr(client, method)(path)
    assert response.status_code == status
    assert is_uuid4(response[RESPONSE_HEADER])


def test_a_refused_host_has_one_too(client, settings):
    settings.ALLOWED_HOSTS = ["cloudigrade"]
    response = client.get("/admin/login/")
    assert response.status_code == 400
    assert response.json() == {"detail": "Bad request."}
    assert is_uuid4(response[RESPONSE_HEADER])


def test_log_lines_that_django_writes_last_have_it_too(client, caplog):
    caplog.handler.addFilter(RequestIdFilter())
    response = client.get("/no/such/url")
    [record] = [record for record in caplog.records if record.name == "django.request"]
    assert record.requestid == response[RESPONSE_HEADER]


def test_what_was_current_is_current_again():
    with request_context("outer", "platform"):
        with request_context("inner"):
            assert (current_request_id(), current_insights_request_id()) == ("inner", None)
        assert (current_request_id(), current_insights_request_id()) == ("outer", "platform")
    assert current_request_id() is None


def test_an_exception_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError), request_context("id"):
        1 / 0  # noqa: B018
    assert current_request_id() is None


def test_messages_carry_the_current_ids_or_a_fresh_one():
    assert is_uuid4(message_headers()["request_id"])
    with request_context("current", "platform"):
        headers = message_headers()
    assert headers == {"request_id": "current", "insights_request_id": "platform"}
    assert message_context(headers) == ("current", "platform")


def test_a_message_without_ids_goes_by_what_is_current():
    assert is_uuid4(message_context({})[0])
    with request_context("current", "platform"):
        assert message_context({}) == ("current", "platform")
