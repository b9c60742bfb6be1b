"""Reading usage; reading never calculates (spec 07 §6.3)."""

from datetime import date
from typing import Any

from api.metering.staleness import is_withdrawn
from api.models import ConcurrentUsage

Counts = list[list[Any]]
"""A day's ``[arch, role, sla, usage, service_type, count]``."""


def daily_usage(*, user_id: int, first_day: date, last_day: date) -> dict[date, Counts]:
    """Give the counts of those days, both ends included, that are calculated and not withdrawn."""
    rows = ConcurrentUsage.objects.filter(
        ~is_withdrawn(), user_id=user_id, date__gte=first_day, date__lte=last_day
    )
    return dict(rows.values_list("date", "maximum_counts"))
