"""Routes below ``/internal/console/`` (spec 12 §1)."""

from django.urls import path

from api.console.actions import (
    CancelView,
    ConsoleActionView,
    ImportView,
    ProgressView,
    RecalculateView,
    ReinspectView,
    ReplayView,
)
from api.console.assets import AssetView
from api.console.audit import AuditView
from api.console.customer import CustomerPageView
from api.console.day import DayView
from api.console.fleet import FleetView
from api.console.image import ImagePageView
from api.console.instance import InstancePageView
from api.console.missing import MissingView
from api.console.search import SearchView

urlpatterns = [
    path("", FleetView.as_view(), name="console-fleet"),
    path("search/", SearchView.as_view(), name="console-search"),
    path("customers/<int:user_id>/", CustomerPageView.as_view(), name="console-customer"),
    path("customers/<int:user_id>/days/<str:day>/", DayView.as_view(), name="console-day"),
    path(
        "customers/<int:user_id>/recalculate/",
        RecalculateView.as_view(),
        name="console-recalculate",
    ),
    path("customers/<int:user_id>/import/", ImportView.as_view(), name="console-import"),
    path("customers/<int:user_id>/replay/", ReplayView.as_view(), name="console-replay"),
    path("instances/<int:instance_id>/", InstancePageView.as_view(), name="console-instance"),
    path("images/<int:image_id>/", ImagePageView.as_view(), name="console-image"),
    path("images/<int:image_id>/reinspect/", ReinspectView.as_view(), name="console-reinspect"),
    path("audit/", AuditView.as_view(), name="console-audit"),
    path("actions/<int:action_id>/", ConsoleActionView.as_view(), name="console-action"),
    path("actions/<int:action_id>/progress/", ProgressView.as_view(), name="console-progress"),
    path("actions/<int:action_id>/cancel/", CancelView.as_view(), name="console-cancel"),
    path("static/<str:digest>/<path:name>", AssetView.as_view(), name="console-static"),
    path("<path:anything>/", MissingView.as_view(), name="console-missing"),
]
