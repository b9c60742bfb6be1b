"""Days of customers that have no row of usage yet (spec 07 §6.1, decision 39).

They are looked for among all days from the one on which a customer joined to today: whatever kept a
row from being written, or took it away, a later pass writes it.
"""

from collections.abc import Collection
from datetime import date

from django.conf import settings
from django.db import connection, transaction

from api.metering.locking import try_lock_metering
from api.metering.window import ALGORITHM
from api.push import outbox
from util import clock

ROWS_AT_ONCE = 20_000
"""How many rows are written in one transaction, however long ago customers joined."""

# Reads nothing but the unique index. As many rows as days are a row for each day.
_STORED = """
CROSS JOIN LATERAL (
    SELECT GREATEST((customer.date_joined AT TIME ZONE 'UTC')::date, %(since)s::date) AS first_day
) wanted
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, max(date) AS newest FROM api_concurrentusage stored
    WHERE stored.user_id = customer.id AND stored.date BETWEEN first_day AND %(today)s
) stored
"""

_USERS_TO_LOOK_AT = f"""
SELECT customer.id
FROM api_user customer
{_STORED}
WHERE customer.id = ANY(%(users)s)
  AND (EXISTS (SELECT FROM api_staleusage mark WHERE mark.user_id = customer.id)
       OR %(today)s - first_day + 1 > stored.rows)
ORDER BY customer.id
"""  # noqa: S608 - made of constants

# A row of usage keeps its customer, and so would wait for whoever changes that customer now.
_KEEP_CUSTOMERS = """
SELECT id FROM api_user WHERE id = ANY(%s) FOR KEY SHARE SKIP LOCKED
"""

# Customers without any run since their first missing day get their empty rows in one statement.
# Most lack only days after their newest row, so a hole is searched only where there is one. Each
# day is looked up by itself: a join, planned when the table was taken for empty, would compare each
# day with each row.
_FILL_WITHOUT_RUNS = f"""
INSERT INTO api_concurrentusage
    (user_id, date, maximum_counts, sums, revision, computed_at, summed_at, algorithm, code_version,
     created_at, updated_at)
SELECT customer.id, day::date, '[]', '[]',
       COALESCE((SELECT max(revision) FROM api_usagerevision past
                 WHERE past.user_id = customer.id AND past.date = day::date), 1),
       %(now)s, %(now)s, %(algorithm)s, %(version)s, %(now)s, %(now)s
FROM api_user customer
{_STORED}
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN stored.rows = 0 THEN first_day
        WHEN newest - first_day + 1 = stored.rows THEN newest + 1
        WHEN NOT EXISTS (SELECT FROM api_concurrentusage held
                         WHERE held.user_id = customer.id AND held.date = first_day) THEN first_day
        ELSE (SELECT held.date + 1 FROM api_concurrentusage held
              WHERE held.user_id = customer.id AND held.date >= first_day
                AND NOT EXISTS (SELECT FROM api_concurrentusage next
                                WHERE next.user_id = customer.id AND next.date = held.date + 1)
              ORDER BY held.date LIMIT 1)
    END AS first_missing
) hole
CROSS JOIN generate_series(
    first_missing::timestamp, LEAST(%(today)s, first_missing + %(limit)s)::timestamp, '1 day'
) AS day
WHERE customer.id = ANY(%(users)s)
  AND (SELECT held.date FROM api_concurrentusage held
       WHERE held.user_id = customer.id AND held.date = day::date) IS NULL
  AND NOT EXISTS (SELECT FROM api_staleusage mark WHERE mark.user_id = customer.id)
  AND NOT EXISTS (
      SELECT FROM api_cloudaccount account
      JOIN api_run run ON run.cloud_account_id = account.id
      WHERE account.user_id = customer.id
        AND (run.end_time >= first_missing OR run.end_time IS NULL))
LIMIT %(limit)s
ON CONFLICT (user_id, date) DO NOTHING
RETURNING user_id, date
"""  # noqa: S608 - made of constants

_MISSING_DAYS = """
SELECT lower(hole), upper(hole) - 1
FROM (
    SELECT unnest(
        datemultirange(daterange(%(first)s, %(today)s, '[]'))
        - COALESCE(range_agg(daterange(date, date, '[]')), '{}')) AS hole
    FROM api_concurrentusage
    WHERE user_id = %(user)s AND date BETWEEN %(first)s AND %(today)s
) holes
ORDER BY 1 DESC
"""


def users_to_look_at(user_ids: Collection[int], *, since: date | None) -> list[int]:
    """Return those of the customers who have stale days, or days without a row.

    Days without a row are looked for from ``since`` on, never before the UTC day on which the
    customer joined, and up to today.
    """
    parameters = {"users": list(user_ids), "since": since, "today": clock.today()}
    with connection.cursor() as cursor:
        cursor.execute(_USERS_TO_LOOK_AT, parameters)
        return [row[0] for row in cursor.fetchall()]


@transaction.atomic
def fill_without_runs(user_ids: Collection[int], *, since: date | None) -> int:
    """Write empty rows for customers without runs since their first missing day.

    Return how many; to be repeated until there are none, as one transaction writes no more than
    ``ROWS_AT_ONCE``. Customers whom another transaction is working on, or that have stale days, are
    left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KEEP_CUSTOMERS, [try_lock_metering(user_ids)])
        parameters = {
            "users": [row[0] for row in cursor.fetchall()],
            "since": since,
            "today": clock.today(),
            "now": clock.now(),
            "algorithm": ALGORITHM,
            "version": settings.CLOUDIGRADE_VERSION or "",
            "limit": ROWS_AT_ONCE,
        }
        cursor.execute(_FILL_WITHOUT_RUNS, parameters)
        filled = cursor.fetchall()
    outbox.record(filled)
    return len(filled)


def missing_days(*, user_id: int, first: date) -> list[tuple[date, date]]:
    """Return a customer's holes from the first day to today, the newest first.

    Each is given by its first and last day without a row.
    """
    today = clock.today()
    if first > today:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_MISSING_DAYS, {"user": user_id, "first": first, "today": today})
        return cursor.fetchall()
