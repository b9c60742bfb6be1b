"""The resources below ``/internal/api/cloudigrade/v1/`` and where they are (spec 02 §5, §6)."""

from typing import Any

from django.conf import settings
from django.urls import URLPattern, path
from rest_framework.routers import APIRootView, DefaultRouter

from api.internal import records, resources
from api.internal.accounts import CloudAccountsView, InternalAccountsView
from api.internal.billing import InternalBillingFindingsView
from api.internal.browse import BrowseView, browse
from api.internal.concurrent import ConcurrentView
from api.internal.coverage import COVERAGE
from api.internal.exports import ExportJobView, ExportsView
from api.internal.images import MachineImagesView
from api.internal.measures import InternalUsageView
from api.internal.synthetic import SyntheticDataRequestsView
from api.internal.trust import InternalExplainView, RecordView
from api.internal.usage import ConcurrentUsagesView
from api.internal.users import PeriodicTasksView, UsersView, UserTaskLocksView
from api.internal.views import InternalView

CONCURRENT = "concurrent"

WRITABLE: tuple[type[BrowseView], ...] = (
    InternalAccountsView,
    UsersView,
    PeriodicTasksView,
    UserTaskLocksView,
    CloudAccountsView,
    MachineImagesView,
    ConcurrentUsagesView,
)


class InternalRootView(InternalView, APIRootView):
    """The lists below `api/cloudigrade/v1/`."""

    schema = None

    def get_authenticators(self) -> list[Any]:
        """Look at no headers, unless the API is closed to strangers."""
        return super().get_authenticators() if settings.INTERNAL_API_REQUIRE_AUTH else []


class ResourceRouter(DefaultRouter):
    """List and detail of each resource, with a trailing slash or ``.json``, and a root."""

    APIRootView = InternalRootView
    root_view_name = "internal-root"

    def get_api_root_view(self, api_urls: Any = None) -> Any:
        """Make the root, which tells of the one list that is no resource, too."""
        registry: list[tuple[str, Any, str]] = self.registry
        lists = {
            name: f"{basename}-list" for name, view, basename in registry if view.resource.in_root
        }
        return InternalRootView.as_view(api_root_dict=lists | {CONCURRENT: _list_name(CONCURRENT)})


def _list_name(name: str) -> str:
    return f"internal-{name}-list"


def resource_routes(*, synthetic: bool) -> list[URLPattern]:
    """Make the routes, with those of synthetic data or without."""
    router = ResourceRouter()
    views = [*WRITABLE, *map(browse, (*resources.READ_ONLY, *records.RESOURCES, COVERAGE))]
    if synthetic:
        views.append(SyntheticDataRequestsView)
    for view in views:
        name = view.resource.name
        router.register(name, view, basename=f"internal-{name}")
    return [
        *router.urls,
        path(f"{CONCURRENT}/", ConcurrentView.as_view(), name=_list_name(CONCURRENT)),
        path("exports/", ExportsView.as_view(), name="internal-exports-list"),
        path("exports/<str:pk>/", ExportJobView.as_view(), name="internal-exports-detail"),
        path("explain/", InternalExplainView.as_view(), name="internal-explain"),
        path("usage/", InternalUsageView.as_view(), name="internal-usage"),
        path(
            "billing-findings/",
            InternalBillingFindingsView.as_view(),
            name="internal-billing-findings",
        ),
        path(
            "instanceevents/<str:pk>/record/",
            RecordView.as_view(),
            name="internal-instanceevents-record",
        ),
    ]
