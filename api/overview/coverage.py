"""How far numbers can be trusted: of all accounts on one day, of some on the last days (10 §2)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import Count

from api.models import CoverageDay
from util import clock

DAYS = 14
PARTIAL_SHOWN = 10

_PARTIAL = """
SELECT account.id, account.user_id,
       coalesce(account.aws_account_id, account.subscription_id::text), covered.gaps->0->>'reason'
FROM api_coverageday covered
JOIN api_cloudaccount account ON account.id = covered.cloud_account_id
WHERE covered.date = %s AND covered.state = 'partial'
ORDER BY covered.id
LIMIT %s
"""


class PartialAccount(NamedTuple):
    """An account whose day is partial, and the reason of the first gap."""

    id: int
    user_id: int
    number: str
    reason: str | None


@dataclass(frozen=True)
class FleetCoverage:
    """One day: how many accounts are in each state, and some of those that are partial."""

    day: date
    states: Mapping[str, int]
    partial: Sequence[PartialAccount]


def fleet_coverage() -> FleetCoverage:
    """Return yesterday's coverage of all accounts; two statements."""
    day = clock.today() - timedelta(days=1)
    rows = CoverageDay.objects.filter(date=day).values_list("state").annotate(Count("id"))
    with connection.cursor() as cursor:
        cursor.execute(_PARTIAL, [day, PARTIAL_SHOWN])
        partial = [PartialAccount(*row) for row in cursor.fetchall()]
    return FleetCoverage(day, dict(rows.order_by("state")), partial)


def last_days_of_accounts(account_ids: Collection[int]) -> dict[int, list[str | None]]:
    """Return the states of accounts on the last 14 days, the oldest first; one statement.

    None stands for a day of which nothing is stored.
    """
    first = clock.today() - timedelta(days=DAYS - 1)
    states: dict[int, list[str | None]] = {one: [None] * DAYS for one in account_ids}
    rows = CoverageDay.objects.filter(cloud_account_id__in=account_ids, date__gte=first)
    for account_id, day, state in rows.values_list("cloud_account_id", "date", "state"):
        place = (day - first).days
        if place < DAYS:
            states[account_id][place] = state
    return states
