"""The internal API's OpenAPI document (spec 02 §10), generated from its views."""

from functools import cache
from typing import Any

from django.conf import settings
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.routes import resource_routes
from api.internal.views import InternalView
from api.public import schema
from api.public.renderers import CompactJSONRenderer, OpenAPIRenderer

TITLE_SERVED = "Cloudigrade Internal API"
TITLE_KEPT = "Cloudigrade internal API"
"""The title of the copy at the root of the repository."""

BASE = "internal/api/cloudigrade/v1/"


@cache
def document() -> dict[str, Any]:
    """Return the document as it is served."""
    routes = resource_routes(synthetic=settings.ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API)
    patterns = [path(BASE, include(routes))]
    return schema.finish(SchemaGenerator(patterns=patterns).get_schema(public=True), TITLE_SERVED)


def document_to_keep() -> dict[str, Any]:
    """Return the copy that is kept in the repository; it differs by its title only."""
    return schema.with_title(document(), TITLE_KEPT)


class InternalOpenAPIView(InternalView):
    """The OpenAPI document."""

    authentication_classes = []
    permission_classes = [AllowAny]
    renderer_classes = [OpenAPIRenderer, CompactJSONRenderer]

    def get(self, request: Request) -> Response:
        """Return the document."""
        return Response(document())
