"""What makes runs and usage right again: hourly passes and manual triggers (spec 07 §4, §6).

A pass asks which customers have something to do, a chunk of accounts or customers in one statement,
and then works on each of these alone, in its own transactions. So a pass may be repeated, run twice
at once, or be killed at any point: the next one finds what is left. One customer's failure is
logged and does not keep the others waiting.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from api.metering.days import ONE_DAY, Days
from api.metering.locking import try_lock_metering
from api.metering.runs import recalculate_runs
from api.metering.usage import calculate_usage
from api.metering.window import ALGORITHM
from api.models import CloudAccount, ConcurrentUsage, Instance, StaleUsage, User
from util import clock

logger = logging.getLogger(__name__)

ACCOUNTS_AT_ONCE = 100
USERS_AT_ONCE = 500

# ``updated_at`` of an event is never before its ``created_at``, so it stands for both.
_INSTANCES_TO_LOOK_AT = """
SELECT account.user_id, found.instance_id
FROM api_cloudaccount account
CROSS JOIN LATERAL (
    SELECT instance_id FROM api_instanceevent event
    WHERE event.cloud_account_id = account.id AND event.updated_at >= %(since)s
      AND event.event_type IN ('power_on', 'power_off')
    UNION
    SELECT instance_id FROM api_instanceevent event
    WHERE event.cloud_account_id = account.id AND event.occurred_at >= %(since)s
      AND event.event_type IN ('power_on', 'power_off')
    UNION
    SELECT run.instance_id FROM api_run run
    JOIN api_instance instance ON instance.id = run.instance_id
    WHERE run.cloud_account_id = account.id AND run.machine_image_id IS NULL
      AND instance.machine_image_id IS NOT NULL
) found
WHERE account.id = ANY(%(accounts)s)
ORDER BY account.user_id, found.instance_id
"""

# From when on days without a row are looked for. After days on which no pass ran, that is the day
# after the customer's newest row, unless it was said from when on.
_FIRST_DAY = """
CROSS JOIN LATERAL (
    SELECT GREATEST(
        (customer.date_joined AT TIME ZONE 'UTC')::date,
        LEAST(%(since)s, (SELECT max(date) + 1 FROM api_concurrentusage stored
                          WHERE stored.user_id = customer.id AND %(catch_up)s))) AS first_day
) days
"""

_USERS_TO_LOOK_AT = f"""
SELECT customer.id
FROM api_user customer
{_FIRST_DAY}
WHERE customer.id = ANY(%(users)s)
  AND (EXISTS (SELECT FROM api_staleusage mark WHERE mark.user_id = customer.id)
       OR %(today)s - first_day + 1 > (
           SELECT count(*) FROM api_concurrentusage stored
           WHERE stored.user_id = customer.id AND stored.date BETWEEN first_day AND %(today)s))
ORDER BY customer.id
"""  # noqa: S608 - made of constants

# Customers without any run in these days get their empty rows in one statement.
_FILL_WITHOUT_RUNS = f"""
INSERT INTO api_concurrentusage
    (user_id, date, maximum_counts, revision, computed_at, algorithm, code_version,
     created_at, updated_at)
SELECT customer.id, day::date, '[]',
       COALESCE((SELECT max(revision) FROM api_usagerevision past
                 WHERE past.user_id = customer.id AND past.date = day::date), 1),
       %(now)s, %(algorithm)s, %(version)s, %(now)s, %(now)s
FROM api_user customer
{_FIRST_DAY}
CROSS JOIN generate_series(first_day::timestamp, %(today)s::timestamp, '1 day') AS day
WHERE customer.id = ANY(%(users)s)
  AND NOT EXISTS (SELECT FROM api_staleusage mark WHERE mark.user_id = customer.id)
  AND NOT EXISTS (
      SELECT FROM api_cloudaccount account
      JOIN api_run run ON run.cloud_account_id = account.id
      WHERE account.user_id = customer.id AND (run.end_time >= first_day OR run.end_time IS NULL))
ON CONFLICT (user_id, date) DO NOTHING
"""  # noqa: S608 - made of constants


def recalculate_runs_of_all_accounts(*, since: datetime | None = None) -> None:
    """Do for every account that is not synthetic what the next function does for one."""
    accounts = CloudAccount.objects.filter(is_synthetic=False)
    for chunk in _chunks(accounts, ACCOUNTS_AT_ONCE):
        _recalculate_runs_of_accounts(chunk, since)


def recalculate_runs_of_account(*, account_id: int, since: datetime | None = None) -> None:
    """Make the runs of an account's instances right that had power events lately (spec 07 §4.2).

    An event counts if it happened or was stored since ``since``, by default two days ago. Instances
    whose image became known after their runs were stored are always looked at. Nothing happens for
    an account that does not exist.
    """
    _recalculate_runs_of_accounts([account_id], since)


def recalculate_runs_of_instance(*, instance_id: int) -> None:
    """Make one instance's runs right (spec 07 §4.3), unless it is gone."""
    owner = Instance.objects.filter(id=instance_id).values_list("cloud_account__user_id", flat=True)
    for user_id in owner:
        recalculate_runs(user_id=user_id, instance_ids=[instance_id])


def _recalculate_runs_of_accounts(account_ids: list[int], since: datetime | None) -> None:
    if since is None:
        since = clock.now() - timedelta(days=settings.RECALCULATE_RUNS_SINCE_DAYS_AGO)
    with connection.cursor() as cursor:
        cursor.execute(_INSTANCES_TO_LOOK_AT, {"accounts": account_ids, "since": since})
        found = cursor.fetchall()
    instances_of = {
        user_id: [instance_id for _, instance_id in group]
        for user_id, group in groupby(found, itemgetter(0))
    }
    _for_each_user(
        instances_of,
        lambda user_id: recalculate_runs(user_id=user_id, instance_ids=instances_of[user_id]),
    )


def recalculate_usage_of_all_users(*, since: date | None = None) -> None:
    """Do for every customer what the next function does for one."""
    days: dict[str, date | bool] = {
        "since": _first_day(since),
        "today": clock.today(),
        "catch_up": since is None,
    }
    for chunk in _chunks(User.objects.all(), USERS_AT_ONCE):
        if waiting := _users_to_look_at(chunk, days):
            _fill_without_runs(waiting, days)
            _for_each_user(
                _users_to_look_at(waiting, days),
                lambda user_id: recalculate_usage_of_user(user_id=user_id, since=since),
            )


def recalculate_usage_of_user(*, user_id: int, since: date | None = None) -> None:
    """Calculate a customer's days that have no row or are stale, up to today (spec 07 §6.1).

    Days without a row are looked for from ``since`` on, by default from two days ago, or from the
    newest row on if that is older; but never before the UTC day on which the customer joined. Stale
    days are calculated however old they are.
    """
    joined = User.objects.filter(id=user_id).values_list("date_joined", flat=True).first()
    if joined is None:
        return
    first_day = _first_day(since)
    if since is None and (newest := _newest_day(user_id)) is not None:
        first_day = min(first_day, newest + ONE_DAY)
    first_day = max(first_day, joined.astimezone(UTC).date())
    calculate_usage(user_id=user_id, missing=[Days(first_day, None)])


def recalculate_usage_of_user_on(*, user_id: int, day: date) -> None:
    """Calculate one day of a customer unless its row is there and right (spec 07 §6.2).

    The customer's stale days are calculated as well. A day of the future never is.
    """
    calculate_usage(user_id=user_id, missing=[Days(day, day)])


def recalculate_stale_usage() -> int:
    """Calculate the stale days of all customers; give the number of customers worked on.

    A customer whom another worker is working on is left to it: several may share the work.
    """
    users = StaleUsage.objects.order_by("user_id").values_list("user_id", flat=True).distinct()
    return _for_each_user(list(users), lambda user_id: calculate_usage(user_id=user_id, wait=False))


def _first_day(since: date | None) -> date:
    if since is not None:
        return since
    return clock.today() - timedelta(days=settings.RECALCULATE_CONCURRENT_USAGE_SINCE_DAYS_AGO)


def _newest_day(user_id: int) -> date | None:
    rows = ConcurrentUsage.objects.filter(user_id=user_id).order_by("-date")
    return rows.values_list("date", flat=True).first()


def _users_to_look_at(user_ids: list[int], days: dict[str, date | bool]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_USERS_TO_LOOK_AT, {"users": user_ids, **days})
        return [row[0] for row in cursor.fetchall()]


@transaction.atomic
def _fill_without_runs(user_ids: list[int], days: dict[str, date | bool]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _FILL_WITHOUT_RUNS,
            {
                "users": try_lock_metering(user_ids),
                "now": clock.now(),
                "algorithm": ALGORITHM,
                "version": settings.CLOUDIGRADE_VERSION or "",
                **days,
            },
        )


def _chunks(rows: QuerySet, size: int) -> Iterator[list[int]]:
    """Give the ids of rows in their order, some at a time."""
    last = 0
    while ids := list(rows.filter(id__gt=last).order_by("id").values_list("id", flat=True)[:size]):
        yield ids
        last = ids[-1]


def _for_each_user(user_ids: Iterable[int], work: Callable[[int], object]) -> int:
    done = 0
    for user_id in user_ids:
        try:
            work(user_id)
        except Exception:
            logger.exception("Could not recalculate for user %s", user_id)
        else:
            done += 1
    return done
