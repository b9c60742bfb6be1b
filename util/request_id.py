"""One id for an HTTP request and for all that it causes (spec 01 §3, spec 08 §6.6, §7)."""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from util import log_context

RESPONSE_HEADER = "X-CLOUDIGRADE-REQUEST-ID"
INSIGHTS_HEADER = "X-RH-INSIGHTS-REQUEST-ID"
MESSAGE_HEADER = "request_id"
INSIGHTS_MESSAGE_HEADER = "insights_request_id"

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_insights_request_id: ContextVar[str | None] = ContextVar("insights_request_id", default=None)


def current_request_id() -> str | None:
    """Return the id of the request or task in progress; None outside of both."""
    return _request_id.get()


def current_insights_request_id() -> str | None:
    """Return the platform's id of the request that caused what is going on, if it sent one."""
    return _insights_request_id.get()


@contextmanager
def request_context(request_id: str, insights_request_id: str | None = None) -> Iterator[None]:
    """Work under a request id; what was current before is current again afterwards."""
    token = _request_id.set(request_id)
    insights_token = _insights_request_id.set(insights_request_id)
    try:
        yield
    finally:
        _insights_request_id.reset(insights_token)
        _request_id.reset(token)


class RequestIdMiddleware:
    """Middleware that assigns each HTTP request a new id and returns it in a header.

    It belongs outside all other middleware. Django has more to log when the last middleware is
    done, so the id stays current until the response is closed.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        request_id = str(uuid.uuid4())
        _request_id.set(request_id)
        _insights_request_id.set(request.headers.get(INSIGHTS_HEADER))
        response = self.get_response(request)
        response[RESPONSE_HEADER] = request_id
        return response


@receiver(request_finished)
def _forget_request_id(**_: Any) -> None:
    _request_id.set(None)
    _insights_request_id.set(None)
    log_context.forget_customer()


class RequestIdFilter(logging.Filter):
    """Adds ids, customer and task to log records; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set ``requestid``, ``insights_requestid``, ``customer`` and ``task``."""
        record.requestid = current_request_id()
        record.insights_requestid = current_insights_request_id()
        record.customer = log_context.current_customer()
        record.task = log_context.current_task()
        return True


def message_headers() -> dict[str, str]:
    """Return the headers for a Celery message.

    The current ids, or a fresh id where there is none.
    """
    headers = {MESSAGE_HEADER: current_request_id() or str(uuid.uuid4())}
    insights_request_id = current_insights_request_id()
    if insights_request_id:
        headers[INSIGHTS_MESSAGE_HEADER] = insights_request_id
    return headers


def message_context(headers: Mapping[str, str | None]) -> tuple[str, str | None]:
    """Return the ids that a task works under.

    Its message's, else the current ones, else fresh ones.
    """
    request_id = headers.get(MESSAGE_HEADER) or current_request_id() or str(uuid.uuid4())
    insights = headers.get(INSIGHTS_MESSAGE_HEADER) or current_insights_request_id()
    return request_id, insights
