"""What all views of the internal API share."""

import logging
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils.encoding import escape_uri_path
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from api.internal.access import IsKnownCaller, caller_name
from api.internal.parsers import BoundedFormParser, BoundedMultiPartParser, StrictJSONParser
from api.public.authentication import InternalOptionalAuthentication

logger = logging.getLogger(__name__)

AUDIT_LENGTH = 200
"""Characters of what a client named that go into a line of the log."""


class InternalView(APIView):
    """A view of the internal API: open to the network unless settings demand more (spec 02 §3).

    Who calls is known for the log only: results are never narrowed to the caller's data.
    """

    authentication_classes = [InternalOptionalAuthentication]
    permission_classes = [IsKnownCaller]
    parser_classes = [StrictJSONParser, BoundedFormParser, BoundedMultiPartParser]
    renderer_classes = [JSONRenderer]
    metadata_class = None
    audited = ""

    @classmethod
    def as_view(cls, *args: Any, **initkwargs: Any) -> Any:
        """Return the view function. Who writes opens a transaction, and calls no cloud in it."""
        return transaction.non_atomic_requests(super().as_view(*args, **initkwargs))

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Read query parameters as UTF-8, whatever charset the body is said to have."""
        request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def audit(self, what: str) -> None:
        """Add to the audit line what is written, in words without secrets."""
        self.audited = what.encode("unicode_escape").decode()[:AUDIT_LENGTH]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Leave an audit line for each write, successful or not (spec 02 §12.1)."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if request.method not in SAFE_METHODS:
            logger.info(
                "Audit: %s %s %sby %s: %d",
                request.method,
                escape_uri_path(request.path),
                f"({self.audited}) " if self.audited else "",
                caller_name(request),
                response.status_code,
            )
        return response


class ActionView(InternalView):
    """A route that does something rather than shows rows."""

    def input(self, request: Request) -> Mapping[str, Any]:
        """Return the members of the body. Raises ValidationError if it is no object."""
        Serializer[Any](data=request.data).is_valid(raise_exception=True)
        body: Any = request.data
        return body
