"""Probes: is this process alive, can it serve, what does it depend on (spec 02 §8, 08 §10)."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import View
from health_check.views import HealthCheckView

from api.internal.dependencies import DEPENDENCIES, DatabaseBackend, run_checks

HTML, JSON, XHTML = "text/html", "application/json", "application/xhtml+xml"
NOT_ACCEPTABLE = f"Not Acceptable: Supported content types: {HTML}, {JSON}"


@method_decorator([transaction.non_atomic_requests, never_cache], name="dispatch")
class HealthzView(HealthCheckView):
    """Answer the readiness probe: 200 if the database can be read, else 500."""

    template_name = "internal/health.html"
    checks: Any = [(DatabaseBackend, {})]
    # The check brings a thread of its own, with a limit of time.
    use_threading = False

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Return the status of each check as HTML or JSON, as the client prefers."""
        wanted = JSON if request.GET.get("format") == "json" else _preferred_type(request)
        if wanted is None:
            return HttpResponse(NOT_ACCEPTABLE, status=406, content_type="text/plain")
        status = 500 if self.check() else 200
        if wanted == JSON:
            return self.render_to_response_json(self.plugins, status)
        return self.render_to_response(self.get_context_data(**kwargs), status=status)


def _preferred_type(request: HttpRequest) -> str | None:
    # The first of several that are equally welcome wins: HTML for */*, JSON for application/*.
    return request.get_preferred_type([HTML, JSON, XHTML])


@method_decorator([transaction.non_atomic_requests, never_cache], name="dispatch")
class LivezView(View):
    """Answer that the process is alive; asks nobody."""

    def get(self, request: HttpRequest) -> JsonResponse:
        """Say so."""
        return JsonResponse({"status": "alive"})


@method_decorator([transaction.non_atomic_requests, never_cache], name="dispatch")
class ReadyzView(View):
    """Tell the dependencies apart, for people who look for what is wrong."""

    def get(self, request: HttpRequest) -> JsonResponse:
        """Return each dependency's status; 503 without the database, which everything needs."""
        outcomes = run_checks(DEPENDENCIES)
        ready = outcomes["database"].status == "working"
        body = {
            "status": "ready" if ready else "not ready",
            "checks": {
                name: {"status": outcome.status, "seconds": round(outcome.seconds, 4)}
                for name, outcome in outcomes.items()
            },
        }
        return JsonResponse(body, status=200 if ready else 503)
