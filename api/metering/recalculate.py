"""What makes runs and usage right again: hourly passes and manual triggers (spec 07 §4, §6).

A pass asks which customers have something to do, a chunk of accounts or customers in one statement,
and then works on each of these alone, in its own transactions. So a pass may be repeated, run twice
at once, or be killed at any point: the next one finds what is left. One customer's failure is
logged and does not keep the others waiting.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from api.metering.days import Days, portions
from api.metering.locking import try_lock_metering_of_accounts
from api.metering.missing import fill_without_runs, missing_days, users_to_look_at
from api.metering.runs import recalculate_runs
from api.metering.usage import DAYS_AT_ONCE, calculate_usage
from api.models import CloudAccount, ConcurrentUsage, Instance, StaleUsage, User
from api.models.usage import UNSUMMED
from util import clock

logger = logging.getLogger(__name__)

ACCOUNTS_AT_ONCE = 100
USERS_AT_ONCE = 500
USERS_SUMMED_AT_ONCE = 1000

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
        _free_first(instances_of),
        lambda user_id: recalculate_runs(user_id=user_id, instance_ids=instances_of[user_id]),
    )


def recalculate_usage_of_all_users(*, since: date | None = None) -> None:
    """Do for every customer what the next function does for one.

    Without ``since`` everybody's last days come first, as many as the setting
    ``RECALCULATE_CONCURRENT_USAGE_SINCE_DAYS_AGO`` says: nobody waits for them while another
    customer's history is filled. At the end come days whose sums are missing.
    """
    if since is None:
        days = timedelta(days=settings.RECALCULATE_CONCURRENT_USAGE_SINCE_DAYS_AGO)
        _recalculate_usage(clock.today() - days)
    _recalculate_usage(since)
    if since is None:
        _sum_again()


def _recalculate_usage(since: date | None) -> None:
    for chunk in _chunks(User.objects.all(), USERS_AT_ONCE):
        waiting = users_to_look_at(chunk, since=since)
        while waiting and fill_without_runs(waiting, since=since):
            waiting = users_to_look_at(waiting, since=since)
        _for_each_user(
            _free_first(waiting),
            lambda user_id: recalculate_usage_of_user(user_id=user_id, since=since),
        )


def _sum_again() -> None:
    """Make the sums of days that were calculated without them, or with sizes not known then.

    Those are all days after the upgrade to the first version that has sums: each pass works off a
    part of them. Until then what is asked for is computed from the runs.
    """
    unsummed = ConcurrentUsage.objects.filter(UNSUMMED).order_by("user_id")
    users = unsummed.values_list("user_id", flat=True).distinct()[:USERS_SUMMED_AT_ONCE]
    _for_each_user(
        list(users),
        lambda user_id: calculate_usage(user_id=user_id, with_unsummed=True, wait=False),
    )


def recalculate_usage_of_user(*, user_id: int, since: date | None = None) -> None:
    """Calculate a customer's days that have no row or are stale, up to today (spec 07 §6.1).

    Days without a row are looked for from ``since`` on, by default from the UTC day on which the
    customer joined, and never before that (decision 39). Stale days are calculated however old they
    are. Many missing days are calculated in several transactions, the newest first.
    """
    joined = User.objects.filter(id=user_id).values_list("date_joined", flat=True).first()
    if joined is None:
        return
    first_day = joined.astimezone(UTC).date()
    if since is not None:
        first_day = max(first_day, since)
    missing = missing_days(user_id=user_id, first=first_day)
    # Stale days are worked off with the first portion, even if no day is missing.
    for portion in portions(missing, length=DAYS_AT_ONCE) or [[]]:
        calculate_usage(user_id=user_id, missing=portion)


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


def _chunks(rows: QuerySet, size: int) -> Iterator[list[int]]:
    """Return the ids of rows in their order, some at a time."""
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


def _free_first(user_ids: Collection[int]) -> list[int]:
    """Order a chunk's customers so that nobody waits for those whom another transaction holds."""
    if len(user_ids) < 2:
        return list(user_ids)
    with transaction.atomic():
        free = set(try_lock_metering_of_accounts(user_ids))
    return sorted(user_ids, key=lambda user_id: user_id not in free)
