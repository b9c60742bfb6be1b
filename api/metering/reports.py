"""Read daily concurrent usage (spec 07 §6.3). Reading never calculates."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from api.metering.staleness import is_unavailable
from api.models import ConcurrentUsage
from util.replica import connection

BYTES_AT_ONCE = 1024 * 1024
"""Bytes of counts that are read together, unless one day alone has more (README decision 43)."""

# PostgreSQL writes each day's text once, on disk where it is long.
_MEASURED = """
WITH day AS MATERIALIZED ({days})
SELECT date, revision, octet_length(counts),
       CASE WHEN sum(octet_length(counts)) OVER () <= %s THEN counts END
FROM day
ORDER BY date
"""


class StoredDay(NamedTuple):
    """A day's usage; without its counts where those of all days together are large.

    The counts are JSON text as PostgreSQL writes it, with one blank after each comma:
    ``[[arch, role, sla, usage, service_type, count], ...]``, the total over everything first.
    """

    revision: int
    bytes: int
    counts: str | None


class UsageChanged(Exception):
    """Days were withdrawn, or calculated anew, after they were found and before they were read."""


def daily_usage(*, user_id: int, first_day: date, last_day: date) -> dict[date, StoredDay]:
    """Return a customer's days from the first to the last, both included; one query.

    Days that are not calculated, or have to be again, are missing.
    """
    sql, parameters = _days(user_id, first_day, last_day).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED.format(days=sql), [*parameters, BYTES_AT_ONCE])
        return {day: StoredDay(*values) for day, *values in cursor.fetchall()}


def counts_of_days(*, user_id: int, revisions: Mapping[date, int]) -> list[str]:
    """Return the counts of consecutive days, as ``StoredDay`` has them; one query.

    Raises UsageChanged unless each day has the revision that is named for it.
    """
    found = list(_days(user_id, min(revisions), max(revisions)).order_by("date"))
    if {day: revision for day, revision, _ in found} != dict(revisions):
        raise UsageChanged(f"Usage of user {user_id} changed while it was read.")
    return [counts for _, _, counts in found]


def _days(user_id: int, first_day: date, last_day: date) -> QuerySet[ConcurrentUsage, tuple]:
    return (
        ConcurrentUsage.objects.filter(
            ~is_unavailable(), user_id=user_id, date__gte=first_day, date__lte=last_day
        )
        .annotate(counts=Cast("maximum_counts", TextField()))
        .values_list("date", "revision", "counts")
    )
