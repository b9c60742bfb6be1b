"""The lock that makes a transaction the only one to change what belongs to a user (spec 03 §11)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import transaction

from api.models.user import User, UserTaskLock
from util import clock


@contextmanager
def lock_users(user_ids: Iterable[int], *, wait: bool = True) -> Iterator[list[int]]:
    """Hold the task locks of users until the transaction ends; yield the users held.

    Opens a transaction, or joins the one in progress. Waiters block; locks are taken in ascending
    order of user ids, so that two holders of several never wait for each other. ``locked`` shows
    true inside the holding transaction only (an exception rolls it back). A missing lock row is
    made on first use; a user that is gone is left out. Never call a cloud, Kafka or another service
    while holding it. Without ``wait`` users are left out as well whose lock is taken, or was never
    used.
    """
    wanted = sorted(set(user_ids))
    with transaction.atomic():
        if wait:
            UserTaskLock.objects.bulk_create(
                [
                    UserTaskLock(user_id=user_id)
                    for user_id in User.objects.filter(id__in=wanted, task_lock__isnull=True)
                    .order_by("id")
                    .values_list("id", flat=True)
                ],
                ignore_conflicts=True,
            )
        held = list(
            UserTaskLock.objects.select_for_update(skip_locked=not wait)
            .filter(user_id__in=wanted)
            .order_by("user_id")
            .values_list("user_id", flat=True)
        )
        locks = UserTaskLock.objects.filter(user_id__in=held)
        locks.update(locked=True, updated_at=clock.now())
        yield held
        locks.update(locked=False)
