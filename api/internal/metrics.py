"""The page that Prometheus scrapes (spec 02 §9.1)."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from api.internal.gauges import SystemCollector
from util import metrics
from util.shared_metrics import SharedMetrics

_system = SystemCollector()
_shared = SharedMetrics()


@transaction.non_atomic_requests
@require_safe
def metrics_view(request: HttpRequest) -> HttpResponse:
    """Return all metrics as text. Whatever is away, the rest is there."""
    return HttpResponse(metrics.exposition(_shared, _system), content_type=metrics.CONTENT_TYPE)
