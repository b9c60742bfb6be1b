"""Pages on which developers read and try the API (spec 01 §1).

They are served outside production, and in it if ``ENABLE_API_DOCS`` is set. Scripts and styles are
files of an installed package, which the application serves itself: the pages need no other host,
and their Content-Security-Policy lets browsers ask none.
"""

from pathlib import Path
from typing import Any

import drf_spectacular_sidecar
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views import View
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from api.public import schema
from api.public.views import OpenAPIView

FOLDER = Path(drf_spectacular_sidecar.__file__).parent / "static" / "drf_spectacular_sidecar"

FILES = {
    "swagger-ui-dist/swagger-ui.css": "text/css",
    "swagger-ui-dist/swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-dist/swagger-ui-standalone-preset.js": "text/javascript",
    "swagger-ui-dist/favicon-32x32.png": "image/png",
    "redoc/bundles/redoc.standalone.js": "text/javascript",
}
"""What the pages ask for, and as what it is served."""

SECONDS_TO_KEEP_FILES = 3600

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class _WithoutDatabase:
    """A view that reads no rows, and so opens no transaction."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view function."""
        return transaction.non_atomic_requests(super().as_view(**initkwargs))  # type: ignore[misc]


class _ListView(_WithoutDatabase):
    """What the two pages share."""

    authentication_classes: Any = []
    permission_classes: Any = [AllowAny]

    def options(self, *args: Any, **kwargs: Any) -> Any:
        """Say what may be asked; there is no page to be rendered for that."""
        return View.options(self, *args, **kwargs)  # type: ignore[arg-type]

    def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
        """Let the browser ask nobody but us."""
        response = super().finalize_response(*args, **kwargs)  # type: ignore[misc]
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response


class SwaggerView(_ListView, SpectacularSwaggerView):
    """Swagger UI, from packaged files."""

    url_name = "v2-swagger-openapi"


class RedocView(_ListView, SpectacularRedocView):
    """ReDoc, from packaged files."""

    url_name = "v2-openapi"
    # The package's own template loads fonts from elsewhere.
    template_name = "public/redoc.html"


class FileView(_WithoutDatabase, View):
    """A script, style or image of the pages."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, name: str) -> HttpResponseBase:
        """Return the file. Raises Http404 for what the pages do not ask for."""
        if name not in FILES:
            raise Http404
        response = HttpResponse((FOLDER / name).read_bytes(), content_type=FILES[name])
        response.headers["Cache-Control"] = f"public, max-age={SECONDS_TO_KEEP_FILES}"
        return response


class TriableOpenAPIView(OpenAPIView):
    """The OpenAPI document with the one thing that a page needs to send requests: where to."""

    @schema.extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the document."""
        return Response({**schema.document(), "servers": [{"url": reverse("v2-root")}]})
