"""The application's cache.

JSON values below one key prefix (spec 02 §12.2, §12.16; spec 08 §24.1).
"""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache as DjangoRedisCache
from django.core.cache.backends.redis import RedisCacheClient

from util.redis import client

logger = logging.getLogger(__name__)

SCAN_BATCH = 1000
NEVER_EXPIRES = -1
"""What Redis answers for a key that is kept for ever."""

_DELETE_IF_EQUAL = """
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end
return 0
"""


class JSONSerializer:
    """Cached values as JSON. Whole numbers stay what INCR understands."""

    def dumps(self, value: Any) -> bytes:
        """Encode a value; raise TypeError for what JSON cannot carry."""
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        """Decode a value. What is not JSON, such as an older version's pickle, counts as None."""
        try:
            return json.loads(data)
        except ValueError:
            logger.warning("A cached value is not JSON and is ignored")
            return None


class _SharedClient(RedisCacheClient):
    """Django's cache commands on the process's one connection pool."""

    _serializer: "JSONSerializer"

    def get_client(self, key: Any = None, *, write: bool = False) -> redis.Redis:
        return client()

    def delete_if(self, key: str, value: Any) -> bool:
        return bool(client().eval(_DELETE_IF_EQUAL, 1, key, self._serializer.dumps(value)))

    def seconds_left(self, key: str) -> int | None:
        seconds = client().ttl(key)
        return None if seconds == NEVER_EXPIRES else max(seconds, 0)

    def delete_matching(self, pattern: str) -> None:
        connection = client()
        batch = []
        for key in connection.scan_iter(match=pattern, count=SCAN_BATCH):
            batch.append(key)
            if len(batch) == SCAN_BATCH:
                connection.unlink(*batch)
                batch = []
        if batch:
            connection.unlink(*batch)


class RedisCache(DjangoRedisCache):
    """A Redis cache that shares its database with Celery, and so never flushes it."""

    _cache: Any

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        params = {**params, "OPTIONS": {"serializer": JSONSerializer, **params.get("OPTIONS", {})}}
        super().__init__(server, params)
        self._class = _SharedClient

    def clear(self) -> bool:  # type: ignore[override] # as Django does, unlike its types
        """Delete all keys below the cache's prefix, and nothing else."""
        prefix = "".join(f"[{char}]" if char in "*?[\\^" else char for char in self.key_prefix)
        self._cache.delete_matching(f"{prefix}:*")
        return True

    def delete_if(self, key: str, value: Any) -> bool:
        """Delete a key, atomically, only if it holds the given value; return whether it did."""
        return self._cache.delete_if(self.make_and_validate_key(key), value)

    def seconds_left(self, key: str) -> int | None:
        """Return for how long a key will be kept; None if for ever, 0 if it is not there."""
        return self._cache.seconds_left(self.make_and_validate_key(key))


class LocalCache(LocMemCache):
    """The same in this process's memory, for tests."""

    _expire_info: dict[str, float | None]

    def delete_if(self, key: str, value: Any) -> bool:
        """Delete a key only if it holds the given value; return whether it did."""
        return self.get(key) == value and self.delete(key)

    def seconds_left(self, key: str) -> int | None:
        """Return for how long a key will be kept; None if for ever, 0 if it is not there."""
        expires_at = self._expire_info.get(self.make_and_validate_key(key), 0)
        return None if expires_at is None else max(round(expires_at - time.time()), 0)


def cached(key: str, seconds: int | None, compute: Callable[[], Any]) -> Any:
    """Return a cached value, computing and storing it if there is none.

    None is never stored. A Redis that is away costs only the memory: the value is computed.
    """
    try:
        value = cache.get(key)
    except redis.RedisError:
        logger.warning("The cache is not available: %s is computed", key)
        return compute()
    if value is None:
        value = compute()
        if value is not None:
            _store(key, value, seconds)
    return value


def _store(key: str, value: Any, seconds: int | None) -> None:
    try:
        cache.set(key, value, seconds)
    except redis.RedisError:
        logger.warning("The cache is not available: %s is not stored", key)
