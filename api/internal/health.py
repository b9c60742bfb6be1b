"""Probes: is this process alive, can it serve, what does it depend on (spec 02 §8, 08 §10)."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import View

from api.internal.dependencies import DEPENDENCIES, ask_database, run_checks

CHECK = "DatabaseBackend"
"""What the check is called, in answers that others read."""
UNAVAILABLE = "unavailable: Database error"

HTML, JSON, XHTML = "text/html", "application/json", "application/xhtml+xml"
NOT_ACCEPTABLE = f"Not Acceptable: Supported content types: {HTML}, {JSON}"


@method_decorator([transaction.non_atomic_requests, never_cache], name="dispatch")
class HealthzView(View):
    """Answer the readiness probe: 200 if the database can be read, else 500."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Return the status of the one check as HTML or JSON, as the client prefers."""
        wanted = JSON if request.GET.get("format") == "json" else _preferred_type(request)
        if wanted is None:
            return HttpResponse(NOT_ACCEPTABLE, status=406, content_type="text/plain")
        outcome = ask_database()
        is_working = outcome.finished and outcome.error is None
        text, status = ("working", 200) if is_working else (UNAVAILABLE, 500)
        if wanted == JSON:
            return JsonResponse({CHECK: text}, status=status)
        shown = {"name": CHECK, "ok": is_working, "text": text, "seconds": outcome.seconds}
        return render(request, "internal/health.html", {"checks": [shown]}, status=status)


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
    """The state of each dependency, for people who look for what is wrong."""

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
