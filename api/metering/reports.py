"""Read daily concurrent usage (spec 07 §6.3). Reading never calculates."""

from datetime import date
from typing import Any

from api.metering.staleness import is_withdrawn
from api.models import ConcurrentUsage

Counts = list[list[Any]]
"""A day's ``[arch, role, sla, usage, service_type, number]``, the total over everything first."""


def daily_usage(*, user_id: int, first_day: date, last_day: date) -> dict[date, Counts]:
    """Give a customer's days from the first to the last, both included; one query.

    Days that are not calculated, or have to be again, are missing.
    """
    rows = ConcurrentUsage.objects.filter(
        ~is_withdrawn(), user_id=user_id, date__gte=first_day, date__lte=last_day
    )
    return dict(rows.order_by("date").values_list("date", "maximum_counts"))
