"""One customer on one page (spec 12 §1.2). Times are UTC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Count, Sum

from api.coverage.quality import Quality, of_days
from api.metering.facets import ANY, Key
from api.models import AuditEntry, BillingFinding, User
from api.models.usage import is_stale
from api.overview.coverage import last_days_of_accounts
from api.trust.usage_changes import usage_changes
from util import clock

USAGE_DAYS = 90
ACCOUNTS_SHOWN = 50
IMAGES_SHOWN = 20
CHANGES_SHOWN = 10
MOST_SERIES = 6
"""Values of one facet that are drawn, those with the largest peaks."""

# Of each day the total, and the numbers of one facet's values, which no other facet narrows.
_USAGE = f"""
SELECT day.date, day.revision, (day.maximum_counts->0->>5)::int,
       coalesce((
           SELECT jsonb_object_agg(entry->>%(place)s, (entry->>5)::int)
           FROM jsonb_array_elements(day.maximum_counts) entry
           WHERE %(place)s >= 0 AND entry->>%(place)s <> %(any)s AND NOT EXISTS (
               SELECT FROM jsonb_array_elements_text(entry) WITH ORDINALITY AS facet (value, n)
               WHERE n <= 5 AND n <> %(place)s + 1 AND value <> %(any)s)
       ), '{{}}'),
       {is_stale("day.user_id", "day.date")}
FROM api_concurrentusage day
WHERE day.user_id = %(user)s AND day.date >= %(first)s AND day.date <= %(last)s
ORDER BY day.date
"""  # noqa: S608 - made of constants

_ACCOUNTS = """
SELECT account.id, account.cloud_type,
       coalesce(account.aws_account_id, account.subscription_id::text),
       CASE WHEN NOT account.is_enabled THEN 'disabled'
            WHEN account.platform_application_is_paused THEN 'paused' ELSE 'enabled' END,
       coalesce(state.at, account.enabled_at, account.created_at),
       (SELECT max(occurred_at) FROM api_instanceevent WHERE cloud_account_id = account.id),
       described.started_at, described.outcome,
       (SELECT count(*) FROM api_run
        WHERE cloud_account_id = account.id AND end_time IS NULL),
       count(*) OVER ()
FROM api_cloudaccount account
LEFT JOIN LATERAL (
    SELECT at FROM api_accountstate
    WHERE account_id = account.id AND to_state NOT IN ('verified', 'failed')
    ORDER BY at DESC, id DESC LIMIT 1
) state ON true
LEFT JOIN LATERAL (
    SELECT started_at, outcome FROM api_describerun
    WHERE cloud_account_id = account.id ORDER BY started_at DESC, id DESC LIMIT 1
) described ON true
WHERE account.user_id = %(user)s
ORDER BY account.id
LIMIT %(limit)s
"""

_IMAGES = """
WITH used AS MATERIALIZED (
    SELECT DISTINCT machine_image_id AS id FROM api_instance
    WHERE machine_image_id IS NOT NULL AND cloud_account_id = ANY(ARRAY(
        SELECT id FROM api_cloudaccount WHERE user_id = %(user)s))
), unfinished AS (
    SELECT image.id, image.cloud_image_id, image.name, image.status, image.updated_at,
           count(*) OVER (PARTITION BY image.status) AS number,
           row_number() OVER (ORDER BY image.updated_at, image.id) AS place
    FROM api_machineimage image JOIN used USING (id)
    WHERE image.status <> 'inspected'
)
SELECT unfinished.id, cloud_image_id, name, status,
       extract(epoch FROM now() - unfinished.updated_at),
       (SELECT count(*) FROM api_inspectionattempt
        WHERE machine_image_id = unfinished.id AND counts),
       (SELECT error FROM api_inspectionattempt
        WHERE machine_image_id = unfinished.id ORDER BY id DESC LIMIT 1),
       number
FROM unfinished WHERE place <= %(limit)s ORDER BY place
"""


class UsageDay(NamedTuple):
    """One day: its number, None if it is not calculated, and those of one facet's values."""

    day: date
    revision: int | None
    peak: int | None
    series: Mapping[str, int]
    is_stale: bool


class AccountSummary(NamedTuple):
    """One account with what happened in it last; times are None where nothing did."""

    id: int
    cloud_type: str
    number: str
    state: str
    since: datetime
    last_event_at: datetime | None
    last_describe_at: datetime | None
    last_describe: str | None
    instances_on: int


class Image(NamedTuple):
    """An image of the customer whose inspection is not over, or that has none."""

    id: int
    cloud_id: str
    name: str | None
    status: str
    age_seconds: float
    attempts: int
    last_error: str | None


class BillingSummary(NamedTuple):
    """What is wrong with how RHEL is paid: how many instances, for how many seconds lately."""

    kind: str
    confidence: str
    instances: int
    seconds: int


@dataclass(frozen=True)
class Customer:
    """What the page shows. ``series`` names the drawn values of the facet, the largest first.

    ``coverage`` has the states of each account on the last 14 days.
    """

    user: User
    usage: Sequence[UsageDay]
    quality: Mapping[date, Quality]
    series: Sequence[str]
    accounts: Sequence[AccountSummary]
    number_of_accounts: int
    coverage: Mapping[int, Sequence[str | None]]
    images: Sequence[Image]
    images_by_status: Mapping[str, int]
    changes: Sequence[Mapping[str, Any]]
    number_of_changes: int
    findings: Sequence[BillingSummary]
    actions: Sequence[AuditEntry]


def customer(*, user_id: int, facet: str | None = None) -> Customer | None:
    """Return what is known of a customer, None if there is none; a fixed number of statements.

    ``facet`` is the name of the facet of whose values the peaks are wanted, too.
    """
    user = User.objects.filter(id=user_id).first()
    if user is None:
        return None
    today = clock.today()
    first = max(today - timedelta(days=USAGE_DAYS - 1), user.joined_on)
    usage = usage_of_days(user_id=user_id, first=first, last=today, facet=facet)
    number_of_accounts, accounts = accounts_of(user_id)
    by_status, images = unfinished_images(user_id)
    number_of_changes, changes = usage_changes(
        user_id=user_id,
        first_day=user.joined_on,
        end=today + timedelta(days=1),
        limit=CHANGES_SHOWN,
        offset=0,
    )
    return Customer(
        user=user,
        usage=usage,
        quality=of_days(user_id, first, today),
        series=_largest(usage),
        accounts=accounts,
        number_of_accounts=number_of_accounts,
        coverage=last_days_of_accounts([one.id for one in accounts]),
        images=images,
        images_by_status=by_status,
        changes=changes,
        number_of_changes=number_of_changes,
        findings=findings_of(user_id),
        actions=list(AuditEntry.objects.filter(user_id=user_id).order_by("-id")[:5]),
    )


def usage_of_days(
    *, user_id: int, first: date, last: date, facet: str | None = None
) -> list[UsageDay]:
    """Return each day from the first to the last, both included; one statement."""
    place = Key._fields.index(facet) if facet in Key._fields else -1
    rows = _select(
        _USAGE, {"user": user_id, "first": first, "last": last, "place": place, "any": ANY}
    )
    stored = {row[0]: row for row in rows}
    return [_usage_day(day, stored.get(day)) for day in _days(first, last)]


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _usage_day(day: date, row: Sequence[Any] | None) -> UsageDay:
    if row is None:
        return UsageDay(day, None, None, {}, False)
    _, revision, count, series, is_stale = row
    if is_stale:
        return UsageDay(day, revision, None, {}, True)
    return UsageDay(day, revision, count or 0, json.loads(series), False)


def _largest(usage: Sequence[UsageDay]) -> list[str]:
    peaks: dict[str, int] = {}
    for one in usage:
        for value, count in one.series.items():
            peaks[value] = max(count, peaks.get(value, 0))
    return sorted(peaks, key=lambda value: (-peaks[value], value))[:MOST_SERIES]


def accounts_of(user_id: int) -> tuple[int, list[AccountSummary]]:
    """Return how many accounts a customer has, and the oldest of them; one statement."""
    rows = _select(_ACCOUNTS, {"user": user_id, "limit": ACCOUNTS_SHOWN})
    return (rows[0][-1] if rows else 0), [AccountSummary(*row[:-1]) for row in rows]


def unfinished_images(user_id: int) -> tuple[dict[str, int], list[Image]]:
    """Return how many images are in each status but ``inspected``, and the oldest of them."""
    rows = _select(_IMAGES, {"user": user_id, "limit": IMAGES_SHOWN})
    return {row[3]: row[-1] for row in rows}, [Image(*row[:-1]) for row in rows]


def findings_of(user_id: int) -> list[BillingSummary]:
    """Return what was found wrong with how the customer's RHEL is paid; one statement."""
    kinds = BillingFinding.objects.filter(user_id=user_id).values_list("kind", "confidence")
    rows = kinds.annotate(Count("id"), Sum("seconds")).order_by("kind", "confidence")
    return [BillingSummary(*row) for row in rows]


def _select(statement: str, parameters: Mapping[str, Any]) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
