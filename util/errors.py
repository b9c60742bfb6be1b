"""Errors as JSON, for the REST framework and for all that fails outside of it (spec 01 §4)."""

import logging
import math
from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import connections
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    UnreadablePostError,
)
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.exceptions import PermissionDenied as RestPermissionDenied
from rest_framework.response import Response

from util.transaction_limits import is_timeout

logger = logging.getLogger(__name__)

_BAD_REQUEST = "Bad request."


class DatabaseBusy(APIException):
    """A lock that somebody else holds, or a statement, took too long (decision 42)."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The service is busy, try again later."
    wait = 5
    """Seconds after which to try again."""


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer an exception that a view raised; the request's transaction is rolled back.

    What a view did not mean to raise becomes a bare 500: the cause goes to the log only, never to
    the client.
    """
    _roll_back(context)
    answer = _as_api_exception(error)
    if answer.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        _log(error, context)
    wait = getattr(answer, "wait", None)
    detail = answer.detail
    return Response(
        detail if isinstance(detail, list | dict) else {"detail": detail},
        status=answer.status_code,
        headers={"Retry-After": str(math.ceil(wait))} if wait else None,
    )


def _as_api_exception(error: Exception) -> APIException:
    if isinstance(error, APIException):
        return error
    if isinstance(error, Http404):
        # Its own message may name models and values.
        return NotFound()
    if isinstance(error, PermissionDenied):
        return RestPermissionDenied()
    if isinstance(error, BadRequest | SuspiciousOperation | UnreadablePostError):
        # Such as more parameters than Django is ready to read, or a body that ends too early.
        return ParseError(_BAD_REQUEST)
    if is_timeout(error):
        return DatabaseBusy()
    return APIException()


def _roll_back(context: dict[str, Any]) -> None:
    """Undo the request's transaction; a view that is exempt from having one minds its own."""
    match = getattr(context.get("request"), "resolver_match", None)
    exempt = getattr(getattr(match, "func", None), "_non_atomic_requests", ())
    for connection in connections.all():
        atomic = connection.settings_dict["ATOMIC_REQUESTS"] and connection.alias not in exempt
        if atomic and connection.in_atomic_block:
            connection.set_rollback(True)


def _log(error: Exception, context: dict[str, Any]) -> None:
    request = context.get("request")
    logger.error(
        "%s %s failed: %s",
        getattr(request, "method", None),
        getattr(request, "path", None),
        type(error).__name__,
        exc_info=error,
    )


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Answer a request that Django itself refused, such as one for an unknown host."""
    return _answer(_BAD_REQUEST, status.HTTP_400_BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Answer a request that lacks permission outside the REST framework."""
    return _answer(RestPermissionDenied.default_detail, status.HTTP_403_FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Answer a request for a URL that there is not."""
    return _answer(NotFound.default_detail, status.HTTP_404_NOT_FOUND)


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer a request that failed outside the REST framework; Django has logged why."""
    return _answer(APIException.default_detail, status.HTTP_500_INTERNAL_SERVER_ERROR)


def _answer(detail: object, code: int) -> JsonResponse:
    return JsonResponse(
        {"detail": str(detail)}, status=code, json_dumps_params={"separators": (",", ":")}
    )


class JSONNotFoundMiddleware:
    """Keeps unmatched URLs a JSON 404 in debug mode too, but for a browser, which asks for HTML."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        response = self.get_response(request)
        if (
            response.status_code == status.HTTP_404_NOT_FOUND
            and request.resolver_match is None
            and response.headers.get("Content-Type", "").startswith("text/html")
            and "text/html" not in request.headers.get("Accept", "")
        ):
            return not_found(request)
        return response
