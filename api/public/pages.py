"""Pages on which developers read and try the API; not mounted in production (spec 01 §1)."""

from typing import Any

from django.urls import reverse
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from api.public import schema
from api.public.views import OpenAPIView


class SwaggerView(SpectacularSwaggerView):
    """Swagger UI, from packaged files."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    url_name = "v2-swagger-openapi"


class RedocView(SpectacularRedocView):
    """ReDoc, from packaged files."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    url_name = "v2-openapi"
    # The package's own template loads fonts from elsewhere.
    template_name = "public/redoc.html"


class TriableOpenAPIView(OpenAPIView):
    """The OpenAPI document with the one thing that a page needs to send requests: where to."""

    @schema.extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the document."""
        return Response({**schema.document(), "servers": [{"url": reverse("v2-root")}]})
