"""Redis: its URL, and one connection pool per process (spec 08 §6.1)."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from util.clowder import RedisPlace

CONNECT_TIMEOUT = 5
READ_TIMEOUT = 5


def redis_url(place: RedisPlace, database: int = 0) -> str:
    """Build a Redis URL. Credentials go into it, percent-encoded, only if there is a password."""
    scheme = "rediss" if place.tls else "redis"
    credentials = ""
    if place.password:
        credentials = f"{quote(place.username, safe='')}:{quote(place.password, safe='')}@"
    path = f"/{database}" if database else ""
    return f"{scheme}://{credentials}{place.host}:{place.port}{path}"


def without_credentials(url: str) -> str:
    """Return a URL as it may be logged."""
    return ";".join(_without_credentials(part) for part in url.split(";"))


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def client() -> redis.Redis:
    """Return the process's Redis client; all callers share its connections."""
    return _client(
        settings.REDIS_URL,
        settings.REDIS_SENTINEL_MASTER,
        settings.REDIS_HEALTH_CHECK_INTERVAL,
        tuple((settings.REDIS_TLS or {}).items()),
    )


@cache
def _client(
    url: str, sentinel_master: str, health_check_interval: int, tls: tuple[tuple[str, Any], ...]
) -> redis.Redis:
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": READ_TIMEOUT,
        "health_check_interval": health_check_interval,
        # One more attempt for a connection that went stale; a Redis that is away is told at once,
        # and one that hangs is waited for once.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        **dict(tls),
    }
    if url.startswith("sentinel://"):
        return _behind_sentinels(url, sentinel_master, options)
    return redis.Redis.from_url(url, **options)


def _behind_sentinels(url: str, master: str, options: Mapping[str, Any]) -> redis.Redis:
    parts = [urlsplit(part) for part in url.split(";")]
    first = parts[0]
    sentinels = Sentinel([(part.hostname, part.port or 26379) for part in parts])
    return sentinels.master_for(
        master,
        username=unquote(first.username) if first.username else None,
        password=unquote(first.password) if first.password else None,
        db=int(first.path.strip("/") or 0),
        **options,
    )
