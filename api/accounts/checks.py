"""Checks of accounts that sources asks for: one waits at a time (spec 03 §6.5, 02 §12.17)."""

from django.core.cache import cache
from redis import RedisError

from api import outbox
from util.tasks import enqueue

TASK = "api.tasks.enable_account"

COLLAPSE_SECONDS = 10
"""How long a check that was queued, and has not begun, is taken for one asked for again."""


def request_check(account_id: int) -> None:
    """Queue a check of an account, unless one waits already that will see the same."""
    try:
        is_first = cache.add(_key(account_id), 1, COLLAPSE_SECONDS)
    except RedisError:
        is_first = True
    if is_first:
        enqueue(TASK, account_id)


def ensure_check(account_id: int) -> None:
    """Queue a check of an account after commit, and have it done even if Redis loses it."""
    outbox.send(f"check of account {account_id}", TASK, account_id)


def begin_check(account_id: int) -> None:
    """Note that a check begins: what changes from now on needs another one."""
    try:
        cache.delete(_key(account_id))
    except RedisError:
        return


def _key(account_id: int) -> str:
    return f"availability-check-{account_id}"
