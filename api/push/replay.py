"""Send days again that consumers lost (spec 14 §5.1).

A day that is as it was told has the same message again, with the same id; a day that was never told
is told now.
"""

from collections.abc import Iterator
from datetime import date

from django.db.models import QuerySet

from api.models import ConcurrentUsage, User
from api.push import outbox

CUSTOMERS_AT_ONCE = 100


def count_days(*, first: date, last: date, user_id: int | None = None) -> int:
    """Count the days that a replay would send, from the first to the last, both included."""
    return _days(first, last, user_id).count()


def record_days(*, first: date, last: date, user_id: int | None = None) -> int:
    """Put days into the outbox, a transaction for some customers each; return their number."""
    return sum(outbox.record_range(users, first=first, last=last) for users in _customers(user_id))


def _days(first: date, last: date, user_id: int | None) -> QuerySet[ConcurrentUsage]:
    days = ConcurrentUsage.objects.filter(date__range=(first, last))
    return days if user_id is None else days.filter(user_id=user_id)


def _customers(user_id: int | None) -> Iterator[list[int]]:
    if user_id is not None:
        yield [user_id]
        return
    last = 0
    ids = User.objects.order_by("id").values_list("id", flat=True)
    while found := list(ids.filter(id__gt=last)[:CUSTOMERS_AT_ONCE]):
        yield found
        last = found[-1]
