"""Which days of which accounts have to be calculated now (spec 10 §2)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection

HISTORY = timedelta(days=31)
"""Days that are missing, or have changed, are looked for so far back."""

CHANGED_WITHIN = timedelta(days=7)
"""A change is found in so long a time after it, should the task not have run."""

LOGS_WITHIN = timedelta(hours=3)
"""The same for log files of past days, which change no state."""

FINAL_AFTER = timedelta(hours=27)
"""A day is calculated each hour until 03:00 of the next one."""

OVERLAP = timedelta(hours=2)
"""A change may be stored by a transaction that began so much earlier."""

ONE_DAY = timedelta(days=1)

_REAL = "NOT is_synthetic AND created_at < %(limit)s"

_ALL = f"SELECT id FROM api_cloudaccount WHERE {_REAL} ORDER BY id"  # noqa: S608

# Reads indexes alone. Accounts take their rows with them, so as many rows as accounts are all.
_INCOMPLETE = """
SELECT day::date
FROM generate_series(%(first)s::timestamp, %(last)s::timestamp, '1 day') AS day
WHERE (SELECT count(*) FROM api_coverageday WHERE date = day::date)
    < (SELECT count(*) FROM api_cloudaccount
       WHERE NOT is_synthetic AND created_at < (day + interval '1 day') AT TIME ZONE 'UTC')
"""

_MISSING = f"""
SELECT id FROM api_cloudaccount account
WHERE {_REAL} AND NOT EXISTS (
    SELECT FROM api_coverageday held
    WHERE held.cloud_account_id = account.id AND held.date = %(day)s
)
"""  # noqa: S608

_NOT_FINAL = """
SELECT held.cloud_account_id, held.date FROM api_coverageday held
WHERE held.date BETWEEN %(first)s AND %(last)s AND held.state = 'open'
UNION
SELECT held.cloud_account_id, held.date FROM api_coverageday held
WHERE held.date BETWEEN %(first)s AND %(last)s AND held.state = 'partial'
  AND held.gaps @> '[{"reason": "ingest_outage"}]'
UNION
SELECT held.cloud_account_id, held.date FROM api_coverageday held
WHERE held.date BETWEEN %(last)s - 2 AND %(last)s
  AND held.computed_at < (held.date::timestamp AT TIME ZONE 'UTC') + %(final_after)s
UNION
SELECT held.cloud_account_id, held.date FROM api_coverageday held
JOIN api_auditedday audited ON audited.day = held.date
WHERE held.date BETWEEN %(first)s AND %(last)s AND held.state = 'partial'
  AND held.computed_at < audited.audited_at + %(overlap)s
"""

# Each is a span of time of an account of which something became known at a moment.
_CHANGED = """
WITH change AS (
    SELECT cloud_account_id AS account, coalesce(unsure_from, unsure_to) AS since,
           unsure_to AS until, unsure_to + %(overlap)s AS at
    FROM api_correction
    WHERE unsure_to > %(changed_since)s
    UNION ALL
    SELECT correction.cloud_account_id, coalesce(unsure_from, unsure_to), unsure_to,
           event.created_at + %(overlap)s
    FROM api_correction correction
    JOIN api_instanceevent event ON event.id = correction.explained_by
    WHERE correction.unsure_to >= %(first)s AND event.created_at > %(changed_since)s
    UNION ALL
    SELECT account.id, events_from, events_to,
           greatest(found_at, resolved_at) + %(overlap)s
    FROM api_auditfinding finding
    JOIN api_cloudaccount account ON account.aws_account_id = finding.aws_account_id
    WHERE greatest(found_at, resolved_at) > %(changed_since)s
    UNION ALL
    SELECT account.id, delivered_at, delivered_at, processed_at
    FROM api_ingestobject object
    JOIN api_cloudaccount account ON account.aws_account_id = object.aws_account_id
    WHERE processed_at > %(logs_since)s AND delivered_at < %(today)s
)
SELECT DISTINCT held.cloud_account_id, held.date
FROM change JOIN api_coverageday held
  ON held.cloud_account_id = change.account
 AND held.date BETWEEN (change.since AT TIME ZONE 'UTC')::date
                   AND (change.until AT TIME ZONE 'UTC')::date
 AND held.date BETWEEN %(first)s AND %(last)s AND held.computed_at < change.at
"""


def days_to_calculate(now: datetime) -> Iterator[tuple[date, Sequence[int]]]:
    """Yield UTC days with the ids of the accounts of which they are to be calculated.

    The newest day comes first: today, of all accounts. Synthetic accounts have no coverage.
    """
    today = now.astimezone(UTC).date()
    yield today, [row[0] for row in _fetch(_ALL, _of_day(today))]
    past = _past_days(now, today)
    for day in sorted(past, reverse=True):
        yield day, sorted(past[day])


def _past_days(now: datetime, today: date) -> dict[date, set[int]]:
    parameters = {
        "first": today - HISTORY,
        "last": today - ONE_DAY,
        "today": today,
        "final_after": FINAL_AFTER,
        "changed_since": now - CHANGED_WITHIN,
        "logs_since": now - LOGS_WITHIN,
        "overlap": OVERLAP,
    }
    wanted: dict[date, set[int]] = defaultdict(set)
    for statement in (_NOT_FINAL, _CHANGED):
        for account_id, day in _fetch(statement, parameters):
            wanted[day].add(account_id)
    for (day,) in _fetch(_INCOMPLETE, parameters):
        wanted[day].update(row[0] for row in _fetch(_MISSING, _of_day(day)))
    return wanted


def _of_day(day: date) -> dict[str, Any]:
    return {"day": day, "limit": datetime.combine(day + ONE_DAY, time(), UTC)}


def _fetch(statement: str, parameters: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
