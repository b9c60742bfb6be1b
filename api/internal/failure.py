"""Failing on request, to try error handling and reporting (spec 02 §7)."""

import logging
from collections.abc import Mapping

from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.views import ActionView
from api.public.usage import UsageUnavailable

logger = logging.getLogger(__name__)

INVALID_INPUT = ["Invalid input."]


class NotReadyException(Exception):
    """Something is not ready yet; no answer of the API, hence a bare 500."""


class MaximumNumberOfTrailsExceededException(exceptions.APIException):
    """The customer's AWS account has no room for another trail."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self) -> None:
        super().__init__(["Exceeded maximum number of cloud trails"])


class NotImplementedAPIException(exceptions.APIException):
    """A feature that does not exist."""

    status_code = status.HTTP_501_NOT_IMPLEMENTED


FAILURES: Mapping[str, type[Exception]] = {
    "ResultsUnavailable": UsageUnavailable,
} | {
    kind.__name__: kind
    for kind in (
        Http404,
        MaximumNumberOfTrailsExceededException,
        NotImplementedAPIException,
        NotReadyException,
        exceptions.APIException,
        exceptions.NotFound,
        exceptions.ParseError,
        exceptions.PermissionDenied,
        exceptions.ValidationError,
    )
}


class ErrorView(ActionView):
    """Raise an exception by its name."""

    def post(self, request: Request) -> Response:
        """Raise it. A name or arguments that do not fit are a 400."""
        members = self.input(request)
        name, kwargs = members.get("name"), members.get("kwargs") or {}
        kind = FAILURES.get(name) if isinstance(name, str) else None
        try:
            failure = kind(**kwargs) if kind else None
        except (TypeError, ValueError):
            failure = None
        if failure is None:
            raise exceptions.ValidationError(INVALID_INPUT)
        logger.warning("Raising %s on request", name)
        raise failure
