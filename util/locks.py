"""Doing a thing once at a time: locks in PostgreSQL and in Redis (spec 08 §6.5, §12.3)."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from redis import RedisError
from redis.exceptions import LockError
from redis.lock import Lock

from util import redis
from util.clock import now

logger = logging.getLogger(__name__)


def advisory_key(namespace: str, identifier: object) -> int:
    """Return the 64-bit number that PostgreSQL knows a lock by."""
    digest = hashlib.blake2b(f"{namespace}:{identifier}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def lock(namespace: str, *identifiers: object) -> None:
    """Wait for locks and hold them until the surrounding transaction ends.

    Several are taken in one order by everybody, so that no two transactions wait for each other.
    They are bound to the transaction, not to the session, and so work behind a pooler too. Raises
    RuntimeError outside of a transaction.
    """
    _require_transaction()
    keys = sorted({advisory_key(namespace, identifier) for identifier in identifiers})
    if keys:
        with connection.cursor() as cursor:
            # The offset keeps PostgreSQL from merging the subquery, and so from changing the order.
            cursor.execute(
                "SELECT pg_advisory_xact_lock(key)"
                " FROM (SELECT unnest(%s::bigint[]) AS key OFFSET 0) AS keys",
                [keys],
            )


def try_locks(namespace: str, identifiers: Iterable[int]) -> list[int]:
    """Take those locks of numbered things that are free now; return the numbers got."""
    _require_transaction()
    by_key = {advisory_key(namespace, identifier): identifier for identifier in identifiers}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key FROM unnest(%s::bigint[]) AS key WHERE pg_try_advisory_xact_lock(key)",
            [list(by_key)],
        )
        return [by_key[row[0]] for row in cursor.fetchall()]


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("A lock that lasts for a transaction needs a transaction")


def redis_lock(name: str, seconds: float) -> Lock:
    """Return a lock in Redis that ends by itself after some seconds by Redis' clock.

    Its key is no part of the cache, so that clearing the cache takes it from nobody.
    """
    return redis.client().lock(
        f"{settings.CLOUDIGRADE_ENVIRONMENT}-lock-{name}", timeout=seconds, thread_local=False
    )


@contextmanager
def run_once(name: str, seconds: int) -> Iterator[bool]:
    """Return whether this is the only run of a periodic task that is under way.

    The claim ends with the block, or after ``seconds`` if its process is lost. Where Redis is away
    nothing can be told, and the answer is yes: periodic tasks are idempotent.
    """
    lock = redis_lock(f"single-flight-{name}", seconds)
    try:
        claimed = bool(lock.acquire(blocking=False))
    except RedisError:
        logger.warning("Redis is not available: %s runs without a claim", name)
        yield True
        return
    try:
        yield claimed
    finally:
        if claimed:
            _release(lock)


def _release(lock: Lock) -> None:
    try:
        lock.release()
    except LockError:
        logger.warning("Lock %r had run out before its work was done", lock.name)
    except RedisError:
        logger.warning("Redis is not available: lock %r ends by itself", lock.name)


class LeaderRun:
    """Work that one of several processes does for all of them, once in a while.

    Its state are two cache keys, *running* and *completed*, each holding since when. A claim to run
    is atomic; the instant that it holds tells its owner.
    """

    def __init__(
        self, feature: str, running_ttl: int | None = None, completed_ttl: int | None = None
    ) -> None:
        prefix = f"cloudigrade-{settings.CLOUDIGRADE_ENVIRONMENT}-leader--{feature}"
        self.feature = feature
        self._running_key = f"{prefix}-running"
        self._completed_key = f"{prefix}-completed"
        self._running_ttl = running_ttl or settings.LEADER_RUNNING_TTL_DEFAULT
        self._completed_ttl = completed_ttl or settings.LEADER_COMPLETED_TTL_DEFAULT

    def running_since(self) -> datetime | None:
        """Return since when a leader is at work; None if there is none."""
        return self._instant(self._running_key)

    def completed_at(self) -> datetime | None:
        """Return when the work was done, as long as that is recent; else None."""
        return self._instant(self._completed_key)

    def reset(self) -> None:
        """Forget both states."""
        cache.delete_many([self._running_key, self._completed_key])

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until no leader is at work: it is done, has failed, or its claim has run out."""
        while self.running_since():
            sleep(1)

    @contextmanager
    def lead(self) -> Iterator[bool]:
        """Claim the work. Tells whether to do it: not if it was done recently or somebody is at it.

        Leaving the block records completion; an exception only ends the claim, and goes on.
        """
        claim = now().isoformat()
        if self.completed_at() or not cache.add(self._running_key, claim, self._running_ttl):
            yield False
            return
        try:
            # Another leader may have finished between the look and the claim.
            wanted = self.completed_at() is None
            yield wanted
            if wanted:
                cache.set(self._completed_key, now().isoformat(), self._completed_ttl)
        finally:
            cache.delete_if(self._running_key, claim)  # type: ignore[attr-defined] # util.cache

    def _instant(self, key: str) -> datetime | None:
        text = cache.get(key)
        return datetime.fromisoformat(text) if text else None
