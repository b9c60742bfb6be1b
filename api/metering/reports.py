"""Read daily concurrent usage (spec 07 §6.3). Reading never calculates."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from api.metering.stored_counts import measured
from api.models.usage import is_stale
from util.replica import connection

BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of counts that are read together, unless one day alone has more (README decision 43)."""

# Written out because they are sent all day.
_DAYS = f"""
SELECT day.date, day.revision,
       coalesce(
           CASE WHEN day.shown_revision = day.revision THEN day.shown_counts END,
           day.maximum_counts::text
       ) AS counts
FROM api_concurrentusage day
WHERE day.user_id = %s AND day.date >= %s AND day.date <= %s
  AND NOT {is_stale("day.user_id", "day.date")}
"""  # noqa: S608 - made of constants
_MEASURED = measured(_DAYS)


class StoredDay(NamedTuple):
    """A day's usage; without its counts where those of all days together are large.

    The counts are what ``api.metering.count_text.named_counts`` takes, the total over everything
    first: as they are shown, or as PostgreSQL writes what is stored.
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
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED, [user_id, first_day, last_day, BYTES_AT_ONCE])
        return {day: StoredDay(*values) for day, *values in sorted(cursor.fetchall())}


def counts_of_days(*, user_id: int, revisions: Mapping[date, int]) -> list[str]:
    """Return the counts of consecutive days, as ``StoredDay`` has them; one query.

    Raises UsageChanged unless each day has the revision that is named for it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, [user_id, min(revisions), max(revisions)])
        found = sorted(cursor.fetchall())
    if {day: revision for day, revision, _ in found} != dict(revisions):
        raise UsageChanged(f"Usage of user {user_id} changed while it was read.")
    return [counts for _, _, counts in found]
