"""What operators want to know of cloud accounts at a glance (spec 12 §2).

One statement for any number of accounts, which takes a step or two into an index for each.
"""

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection

from api.models import AccountState, CoverageDay

COVERAGE_DAYS = 14
MOST_STATES = 20

_OVERVIEW = """
SELECT a.id, a.cloud_type, coalesce(a.aws_account_id, a.subscription_id::text), a.user_id,
       u.org_id, u.account_number,
       CASE WHEN a.platform_application_is_paused THEN 'paused'
            WHEN a.is_enabled THEN 'enabled' ELSE 'disabled' END,
       changed.at, event.occurred_at, describe.started_at, describe.outcome,
       ARRAY(
           SELECT covered.state
           FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') day
           LEFT JOIN api_coverageday covered
                  ON covered.cloud_account_id = a.id AND covered.date = day::date
           ORDER BY day
       ),
       a.missing_since
FROM api_cloudaccount a
JOIN api_user u ON u.id = a.user_id
LEFT JOIN LATERAL (
    SELECT at FROM api_accountstate
    WHERE account_id = a.id AND to_state IN ('created', 'enabled', 'disabled', 'paused', 'unpaused')
    ORDER BY at DESC LIMIT 1
) changed ON true
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE cloud_account_id = a.id ORDER BY occurred_at DESC LIMIT 1
) event ON true
LEFT JOIN LATERAL (
    SELECT started_at, outcome FROM api_describerun
    WHERE cloud_account_id = a.id ORDER BY started_at DESC LIMIT 1
) describe ON true
WHERE a.id > %(after)s AND (%(id)s IS NULL OR a.id = %(id)s)
  AND (NOT %(missing)s OR a.missing_since IS NOT NULL)
ORDER BY a.id
LIMIT %(limit)s
"""


class AccountOverview(NamedTuple):
    """One account. ``coverage`` has a state for each of the last days, None where none is known.

    ``missing_since`` is since when the sources service has not known its source.
    """

    id: int
    cloud_type: str
    cloud_account_number: str
    user_id: int
    org_id: str | None
    account_number: str | None
    state: str
    state_since: datetime.datetime | None
    last_event_at: datetime.datetime | None
    last_describe_at: datetime.datetime | None
    last_describe_outcome: str | None
    coverage: list[str | None]
    missing_since: datetime.datetime | None


def overview(
    *,
    today: datetime.date,
    account_id: int | None = None,
    after: int = 0,
    limit: int,
    missing: bool = False,
) -> list[AccountOverview]:
    """Return accounts by id, by default the first ones; coverage is of the days before today.

    With ``missing`` only those whose source is gone.
    """
    yesterday = today - datetime.timedelta(days=1)
    parameters = {
        "first": today - datetime.timedelta(days=COVERAGE_DAYS),
        "last": yesterday,
        "id": account_id,
        "after": after,
        "limit": limit,
        "missing": missing,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OVERVIEW, parameters)
        return [AccountOverview(*row) for row in cursor.fetchall()]


def last_states(account_id: int) -> Iterator[dict[str, Any]]:
    """Yield what became of an account, the newest first; also of one that is deleted."""
    names = ("at", "from_state", "to_state", "code", "cause")
    rows = AccountState.objects.filter(account_id=account_id).order_by("-at", "-id")
    yield from rows.values(*names)[:MOST_STATES]


_SIGNS = {
    CoverageDay.State.OFF: "-",
    CoverageDay.State.OPEN: "o",
    CoverageDay.State.COMPLETE: ".",
    CoverageDay.State.CORRECTED: "c",
    CoverageDay.State.PARTIAL: "x",
}
LEGEND = "coverage: . complete, c corrected, x partial, o open, - off, ? not known"


def signs(coverage: list[str | None]) -> str:
    """Return one sign for each day, the oldest first."""
    return "".join(_SIGNS[CoverageDay.State(state)] if state else "?" for state in coverage)
