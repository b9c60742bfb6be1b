"""Read daily concurrent usage (spec 07 §6.3). Reading never calculates."""

from datetime import date

from django.db.models import TextField
from django.db.models.functions import Cast

from api.metering.staleness import is_withdrawn
from api.models import ConcurrentUsage


def daily_usage(*, user_id: int, first_day: date, last_day: date) -> dict[date, str]:
    """Give a customer's days from the first to the last, both included; one query.

    A day's counts are JSON text as PostgreSQL writes it, with one blank after each comma:
    ``[[arch, role, sla, usage, service_type, count], ...]``, the total over everything first. Days
    that are not calculated, or have to be again, are missing.
    """
    rows = ConcurrentUsage.objects.filter(
        ~is_withdrawn(), user_id=user_id, date__gte=first_day, date__lte=last_day
    ).order_by("date")
    return dict(rows.values_list("date", Cast("maximum_counts", TextField())))
