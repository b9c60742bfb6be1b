"""Calculate a customer's daily concurrent usage where it is missing or stale (spec 07 §6).

Days that lie close together are calculated in one sweep, see ``api.metering.window``.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date

from django.db import transaction

from api.metering.days import Days, each_day, windows
from api.metering.locking import lock_metering, try_lock_metering
from api.metering.metrics import DAYS, SECONDS
from api.metering.window import StaleMark, TooManyRunsError, UsageWindow
from api.models import ConcurrentUsage, StaleUsage, User
from api.models.usage import UNSUMMED
from util import clock

logger = logging.getLogger(__name__)

DAYS_AT_ONCE = 366
LARGEST_HOLE = 31
"""Days are swept together if no more than this many in between need no calculation."""


@dataclass
class UsageChanges:
    """What a calculation of one customer's usage came to."""

    calculated: int = 0
    written: int = 0
    busy: bool = False
    """Another transaction is at it, so nothing was done."""


@transaction.atomic
def calculate_usage(
    *,
    user_id: int,
    missing: Sequence[Days] = (),
    with_unsummed: bool = False,
    wait: bool = True,
) -> UsageChanges:
    """Calculate a customer's stale days, and those days of ``missing`` that have no row.

    ``with_unsummed`` also those that have a row without sums that hold, the newest of them.
    Calculates no day of the future, nor a stale one before the customer joined, unless it has a row
    already: a worker whose clock is ahead may have stored it (decision 41). One transaction, under
    the customer's metering lock; without ``wait`` it gives up if the lock is taken. Nothing happens
    for a customer who is gone.
    """
    if wait:
        lock_metering(user_id)
    elif not try_lock_metering([user_id]):
        return UsageChanges(busy=True)
    joined = User.objects.filter(id=user_id).values_list("date_joined", flat=True).first()
    if joined is None:
        return UsageChanges()
    marks = _marks(user_id)
    stored = _stored_days(user_id, [*missing, *(mark.days for mark in marks)])
    wanted = _wanted(marks, missing, stored, joined.astimezone(UTC).date())
    if with_unsummed:
        wanted.update(_unsummed_days(user_id))
    changes = UsageChanges(calculated=len(wanted))
    for window in windows(wanted, gap=LARGEST_HOLE, length=DAYS_AT_ONCE):
        with SECONDS.labels("usage").time():
            changes.written += _calculate(user_id, window, marks)
    DAYS.labels("changed").inc(changes.written)
    DAYS.labels("same").inc(changes.calculated - changes.written)
    StaleUsage.objects.filter(id__in=[mark.id for mark in marks]).delete()
    if changes.written:
        logger.info(
            "Calculated %s days of user %s, %s changed",
            changes.calculated,
            user_id,
            changes.written,
        )
    return changes


def _calculate(user_id: int, days: Sequence[date], marks: Sequence[StaleMark]) -> int:
    """Calculate a window; in two halves if it has too many runs to hold in memory."""
    try:
        return UsageWindow(user_id, days, marks).calculate()
    except TooManyRunsError:
        middle = len(days) // 2
        return sum(_calculate(user_id, some, marks) for some in (days[:middle], days[middle:]))


def _marks(user_id: int) -> list[StaleMark]:
    rows = StaleUsage.objects.filter(user_id=user_id).order_by("id")
    return [
        StaleMark(number, Days(first, last), cause, refs)
        for number, first, last, cause, refs in rows.values_list(
            "id", "first_day", "last_day", "cause", "refs"
        )
    ]


def _stored_days(user_id: int, ranges: Sequence[Days]) -> set[date]:
    if not ranges:
        return set()
    first = min(days.first for days in ranges)
    last = max(days.last or date.max for days in ranges)
    rows = ConcurrentUsage.objects.filter(user_id=user_id, date__range=(first, last))
    return set(rows.values_list("date", flat=True))


def _unsummed_days(user_id: int) -> list[date]:
    rows = ConcurrentUsage.objects.filter(UNSUMMED, user_id=user_id, date__lte=clock.today())
    return list(rows.order_by("-date").values_list("date", flat=True)[:DAYS_AT_ONCE])


def _wanted(
    marks: Sequence[StaleMark], missing: Sequence[Days], stored: Collection[date], joined: date
) -> set[date]:
    today = clock.today()
    wanted: set[date] = set()
    for mark in marks:
        first, last = mark.days
        until = today if last is None else min(last, today)
        wanted.update(each_day(max(first, joined), until))
        # Also of days that, by this worker's clock, are still to come: the mark goes.
        wanted.update(day for day in stored if first <= day <= (last or date.max))
    for first, last in missing:
        until = today if last is None else min(last, today)
        wanted.update(day for day in each_day(first, until) if day not in stored)
    return wanted
