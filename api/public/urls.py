"""The routes of the public API, relative to ``/api/cloudigrade/v2/`` (spec 01 §1)."""

from typing import Any

from django.conf import settings
from django.urls import URLPattern, path, register_converter

from api.public import pages, views

app_name = "public"


class JSONFormat:
    """The format in paths such as ``accounts.json``."""

    regex = "json"

    def to_python(self, value: str) -> str:
        """Return the format's name."""
        return value

    def to_url(self, value: str) -> str:
        """Return the end of the path."""
        return value


register_converter(JSONFormat, "json_format")


def route(name: str, view: Any, where: str) -> list[URLPattern]:
    """Make the plain form of a route, and the one with a suffix in place of the slash."""
    return [
        path(f"{where}/" if where else "", view.as_view(), name=name),
        path(f"{where}.<json_format:format>", view.as_view(), name=name),
    ]


urlpatterns = [
    *route("root", views.RootView, ""),
    *route("accounts", views.AccountsView, "accounts"),
    *route("account", views.AccountView, "accounts/<str:id>"),
    *route("instances", views.InstancesView, "instances"),
    *route("instance", views.InstanceView, "instances/<str:id>"),
    *route("images", views.ImagesView, "images"),
    *route("image", views.ImageView, "images/<str:id>"),
    *route("concurrent", views.DailyConcurrentUsageView, "concurrent"),
    *route("sysconfig", views.SysconfigView, "sysconfig"),
    *route("azure-offer-template", views.AzureOfferTemplateView, "azure-offer-template"),
    path("openapi.json", views.OpenAPIView.as_view(), name="openapi"),
]

if not settings.IS_PRODUCTION:
    urlpatterns += [
        path("docs/", pages.SwaggerView.as_view(), name="swagger"),
        path("docs/openapi.json", pages.TriableOpenAPIView.as_view(), name="swagger-openapi"),
        path("redoc/", pages.RedocView.as_view(), name="redoc"),
    ]
