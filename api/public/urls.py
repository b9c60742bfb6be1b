"""The routes of the public API, relative to ``/api/cloudigrade/v2/`` (spec 01 §1)."""

from typing import Any

from django.conf import settings
from django.urls import URLPattern, path, register_converter

from api.public import billing, corrections, coverage, export, measures, pages, trust, views


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
    *route("v2-root", views.RootView, ""),
    *route("v2-accounts-list", views.AccountsView, "accounts"),
    *route("v2-accounts-detail", views.AccountView, "accounts/<str:id>"),
    *route("v2-instances-list", views.InstancesView, "instances"),
    *route("v2-instances-detail", views.InstanceView, "instances/<str:id>"),
    *route("v2-instances-timeline", trust.TimelineView, "instances/<str:id>/timeline"),
    *route("v2-images-list", views.ImagesView, "images"),
    *route("v2-images-detail", views.ImageView, "images/<str:id>"),
    *route("v2-concurrent-list", views.DailyConcurrentUsageView, "concurrent"),
    *route("v2-coverage", coverage.CoverageView, "coverage"),
    *route("v2-explain", trust.ExplainView, "explain"),
    *route("v2-corrections", corrections.CorrectionsView, "corrections"),
    *route("v2-usage-changes", trust.UsageChangesView, "usage-changes"),
    *route("v2-billing-findings", billing.BillingFindingsView, "billing-findings"),
    *route("v2-usage-list", measures.UsageView, "usage"),
    *route("v2-sysconfig-list", views.SysconfigView, "sysconfig"),
    *route("v2-azure-offer-template-list", views.AzureOfferTemplateView, "azure-offer-template"),
    *(
        path(f"export/{kind}.{form}", view.as_view(), name=f"v2-export-{kind}-{form}")
        for (kind, form), view in export.VIEWS.items()
    ),
    path("openapi.json", views.OpenAPIView.as_view(), name="v2-openapi"),
]

if settings.ENABLE_API_DOCS or not settings.IS_PRODUCTION:
    urlpatterns += [
        path("docs/", pages.SwaggerView.as_view(), name="v2-swagger"),
        path("docs/openapi.json", pages.TriableOpenAPIView.as_view(), name="v2-swagger-openapi"),
        path("docs/static/<path:name>", pages.FileView.as_view(), name="v2-docs-file"),
        path("redoc/", pages.RedocView.as_view(), name="v2-redoc"),
    ]
