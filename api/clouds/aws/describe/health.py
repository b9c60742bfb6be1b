"""Which accounts could not be looked at for a while, for metrics and alerts (fault 25).

A few rows of the index of scans for each account. A single region that the customer denies us is
left out: organizations often close regions for everybody, and nobody can mend that.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

MOST_ACCOUNTS = 50
"""That are told; the metrics' labels name them."""

UNSEEN_AFTER = timedelta(hours=12)
"""An account is told if nobody has looked at it for so long, and for two reconciliations."""

LONGEST_ROUND = timedelta(hours=1)
"""Over so long a time a round of scans is spread at most."""

_METERED = """a.cloud_type = 'aws' AND a.is_enabled
  AND NOT a.platform_application_is_paused AND NOT a.is_synthetic"""

_SEEN_BEFORE = f"""
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT GREATEST(a.enabled_at, (
        SELECT finished_at FROM api_describerun
        WHERE cloud_account_id = a.id AND kind IN ('initial', 'reconcile') AND outcome = 'ok'
        ORDER BY started_at DESC LIMIT 1
    )) AS at
) seen
WHERE {_METERED} AND seen.at < now() - %s
"""  # noqa: S608 - made of constants

_UNSEEN = f"""
SELECT a.aws_account_id, extract(epoch FROM now() - seen.at)
{_SEEN_BEFORE}
ORDER BY seen.at, a.id
LIMIT %s
"""  # noqa: S608 - made of constants

_OVERDUE = f"SELECT count(*) {_SEEN_BEFORE}"

# Of each account the newest scans are read, about three at each region. A scan of no region, since
# EC2 did not tell them, counts until there is a good one at any.
_FAILING = f"""
SELECT a.aws_account_id, count(*)
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT DISTINCT ON (region) region, outcome,
           started_at > coalesce(last_good_at, '-infinity') AS is_newest
    FROM (
        SELECT id, region, outcome, started_at,
               max(started_at) FILTER (WHERE outcome = 'ok') OVER () AS last_good_at
        FROM (
            SELECT id, region, outcome, started_at FROM api_describerun
            WHERE cloud_account_id = a.id AND kind IN ('initial', 'reconcile')
              AND started_at >= coalesce(a.enabled_at, '-infinity')
            ORDER BY started_at DESC LIMIT 100
        ) newest
    ) scan
    ORDER BY region, started_at DESC, id DESC
) scan
WHERE {_METERED}
  AND (scan.outcome IN ('failed', 'throttled') AND (scan.region IS NOT NULL OR scan.is_newest))
GROUP BY a.id
ORDER BY count(*) DESC, a.id
LIMIT %s
"""  # noqa: S608 - made of constants


class AccountTrouble(NamedTuple):
    """An account, and how many seconds or regions something is said of."""

    aws_account_id: str
    number: float


def unseen_accounts() -> list[AccountTrouble]:
    """Return the metered accounts that nobody could scan for long, with seconds since then.

    At most 50, those unseen for the longest time first. None where scans are switched off.
    """
    if not settings.AWS_RECONCILE_SCHEDULE:
        return []
    two_rounds = timedelta(seconds=2 * settings.AWS_RECONCILE_SCHEDULE)
    return _select(_UNSEEN, max(UNSEEN_AFTER, two_rounds), MOST_ACCOUNTS)


def overdue_accounts() -> int:
    """Return how many metered accounts nobody could scan for longer than a round may take.

    0 where scans are switched off.
    """
    period = settings.AWS_RECONCILE_SCHEDULE
    if not period:
        return 0
    with connection.cursor() as cursor:
        limit: Any = timedelta(seconds=period) + LONGEST_ROUND
        cursor.execute(_OVERDUE, [limit])
        count: int = cursor.fetchone()[0]
    return count


def failing_accounts() -> list[AccountTrouble]:
    """Return the metered accounts whose newest scan failed, with the number of regions.

    Failed or throttled; at most 50 accounts, those with the most regions first.
    """
    return _select(_FAILING, MOST_ACCOUNTS)


def _select(statement: str, *parameters: Any) -> list[AccountTrouble]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [
            AccountTrouble(account_id, float(number)) for account_id, number in cursor.fetchall()
        ]
