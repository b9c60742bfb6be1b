"""Errors as JSON, for the REST framework and for all that fails outside of it (spec 01 §4)."""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.exceptions import PermissionDenied as RestPermissionDenied
from rest_framework.response import Response

logger = logging.getLogger(__name__)

NOT_FOUND = {"detail": "Not found."}
SERVER_ERROR = {"detail": "A server error occurred."}
BAD_REQUEST = {"detail": "Bad request."}
FORBIDDEN = {"detail": "You do not have permission to perform this action."}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer an exception that a view raised; the request's transaction is rolled back.

    What a view did not mean to raise becomes a bare 500: the cause goes to the log only, never to
    the client. A missing object's own message may name models and values, and is dropped as well.
    """
    if isinstance(error, Http404):
        error = NotFound()
    elif isinstance(error, PermissionDenied):
        error = RestPermissionDenied()
    _roll_back()
    if not isinstance(error, APIException):
        _log(error, context)
        return Response(SERVER_ERROR, status=status.HTTP_500_INTERNAL_SERVER_ERROR)
    if error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        _log(error, context)
    headers = {}
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(int(error.wait))
    detail = error.detail
    body = detail if isinstance(detail, list | dict) else {"detail": detail}
    return Response(body, status=error.status_code, headers=headers)


def _roll_back() -> None:
    for connection in connections.all():
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
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


def bad_request(_request: HttpRequest, _exception: Exception | None = None) -> JsonResponse:
    """Answer a request that Django itself refused, such as one for an unknown host."""
    return JsonResponse(BAD_REQUEST, status=status.HTTP_400_BAD_REQUEST)


def forbidden(_request: HttpRequest, _exception: Exception | None = None) -> JsonResponse:
    """Answer a request that lacks permission outside the REST framework."""
    return JsonResponse(FORBIDDEN, status=status.HTTP_403_FORBIDDEN)


def not_found(_request: HttpRequest, _exception: Exception | None = None) -> JsonResponse:
    """Answer a request for a URL that there is not."""
    return JsonResponse(NOT_FOUND, status=status.HTTP_404_NOT_FOUND)


def server_error(_request: HttpRequest) -> JsonResponse:
    """Answer a request that failed outside the REST framework; Django has logged why."""
    return JsonResponse(SERVER_ERROR, status=status.HTTP_500_INTERNAL_SERVER_ERROR)


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
