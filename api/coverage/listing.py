"""The stored coverage of a customer's accounts, page by page (spec 10 §2)."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from util.replica import connection

JSONObject = dict[str, Any]

MEMBERS = (
    "date",
    "cloud_account_id",
    "cloud_type",
    "state",
    "metered_seconds",
    "gaps",
    "newest_event_time",
    "newest_delivery",
    "log_files",
    "describes_ok",
    "describes_failed",
    "corrections",
    "max_event_age_seconds",
    "max_queue_wait_seconds",
    "computed_at",
)
"""What is told of a day of an account."""

_FROM = """
FROM api_coverageday day JOIN api_cloudaccount account ON account.id = day.cloud_account_id
WHERE (%(user)s::bigint IS NULL OR account.user_id = %(user)s)
  AND day.date >= %(first)s AND day.date < %(end)s
  AND (%(accounts)s::bigint[] IS NULL OR account.id = ANY(%(accounts)s::bigint[]))
  AND (%(state)s::text IS NULL OR day.state = %(state)s)
"""

_COUNT = f"SELECT count(*) {_FROM}"

_PAGE = f"""
SELECT {", ".join(MEMBERS)}, count(*) OVER ()
{_FROM}
ORDER BY day.date, account.id
LIMIT %(limit)s OFFSET %(offset)s
"""

_GAPS = MEMBERS.index("gaps")


def coverage_days(
    *,
    user_id: int | None,
    first_day: date,
    end: date,
    limit: int,
    offset: int,
    account_ids: Sequence[int] | None = None,
    state: str | None = None,
) -> tuple[int, list[JSONObject]]:
    """Return how many days of accounts before ``end`` there are, and a page of them.

    They are in the order of days and accounts. ``user_id`` None stands for all customers, for
    operators; ``account_ids`` and ``state`` choose among the accounts and days unless they are
    None. One statement; two for a page behind the last one.
    """
    parameters = {
        "user": user_id,
        "first": first_day,
        "end": end,
        "accounts": None if account_ids is None else list(account_ids),
        "state": state,
        "limit": limit,
        "offset": offset,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, parameters)
        rows = cursor.fetchall()
        if rows or not offset:
            return (rows[0][-1] if rows else 0), [_shown(row[:-1]) for row in rows]
        cursor.execute(_COUNT, parameters)
        return cursor.fetchone()[0], []


def _shown(row: Sequence[Any]) -> JSONObject:
    shown = dict(zip(MEMBERS, row, strict=True))
    shown["gaps"] = json.loads(row[_GAPS])
    return shown
