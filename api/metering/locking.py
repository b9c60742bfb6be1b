"""The lock under which one customer's runs and usage are written (spec 07 §8).

It ends with its transaction. Work for different customers never meets. It is not the task lock of
``api.models.locking``; a transaction takes locks in this order: task lock, rows of accounts, this
one, rows of images.
"""

from collections.abc import Iterable

from django.db import connection

from util import locks

_NAMESPACE = "metering"

# Waits for a transaction that is about to delete an account, before that one waits for us.
_KEEP_ACCOUNTS = """
SELECT id FROM api_cloudaccount WHERE user_id = ANY(%s) ORDER BY id FOR KEY SHARE
"""

_TRY_TO_KEEP_ACCOUNTS = """
WITH kept AS MATERIALIZED (
    SELECT id FROM api_cloudaccount WHERE user_id = ANY(%(users)s) FOR KEY SHARE SKIP LOCKED
)
SELECT DISTINCT user_id FROM api_cloudaccount
WHERE user_id = ANY(%(users)s) AND id NOT IN (SELECT id FROM kept)
"""


def lock_metering(*user_ids: int) -> None:
    """Become the only transaction that writes these customers' runs and usage; wait for that.

    Whoever deletes runs, usage or a customer calls it first.
    """
    locks.lock(_NAMESPACE, *user_ids)


def lock_metering_of_accounts(*user_ids: int) -> None:
    """Do the same, keeping the customers' accounts from being deleted; before runs are added.

    Whoever changes images in the same transaction calls it before that.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KEEP_ACCOUNTS, [list(user_ids)])
    lock_metering(*user_ids)


def try_lock_metering(user_ids: Iterable[int]) -> list[int]:
    """Become that for several customers without waiting; give those whose lock was free."""
    return locks.try_locks(_NAMESPACE, user_ids)


def try_lock_metering_of_accounts(user_ids: Iterable[int]) -> list[int]:
    """Do the same for several customers without waiting; return those whose locks were free."""
    wanted = list(user_ids)
    with connection.cursor() as cursor:
        cursor.execute(_TRY_TO_KEEP_ACCOUNTS, {"users": wanted})
        taken = {row[0] for row in cursor.fetchall()}
    return try_lock_metering(user_id for user_id in wanted if user_id not in taken)
