"""The hours of all instances together, of single days of many customers (spec 11 §1, 14 §5.1)."""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple

from django.db import connection

from api.measures.stored import SECONDS, SIZES, VCPUS
from util.arrays import array_literal

_TOTALS = f"""
SELECT day.user_id, day.date, total.seconds, total.vcpu_seconds
FROM unnest(%(users)s::bigint[], %(days)s::date[]) AS wanted (user_id, date)
JOIN api_concurrentusage day ON day.user_id = wanted.user_id AND day.date = wanted.date
CROSS JOIN LATERAL (
    SELECT coalesce(sum({SECONDS}), 0)::bigint AS seconds,
           coalesce(sum({SECONDS} * {VCPUS}), 0)::bigint AS vcpu_seconds
    FROM jsonb_array_elements(day.sums) AS told {SIZES}
) total
WHERE day.summed_at = day.computed_at AND day.sums IS NOT NULL
"""  # noqa: S608 - made of constants


class Totals(NamedTuple):
    """Seconds that instances were on, and the same times the vCPUs of each.

    An instance without an end counts as on to the end of the day, one of unknown size has no vCPUs.
    """

    instance_seconds: int
    vcpu_seconds: int


def totals_of_days(keys: Collection[tuple[int, date]]) -> dict[tuple[int, date], Totals]:
    """Return the totals of days, each named by the customer's id and the UTC day.

    Days whose sums are not stored are missing. One statement.
    """
    parameters = {
        "users": array_literal(user_id for user_id, _ in keys),
        "days": array_literal(day for _, day in keys),
    }
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS, parameters)
        return {(user_id, day): Totals(*totals) for user_id, day, *totals in cursor.fetchall()}
