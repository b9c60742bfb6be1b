"""Redis, as cache and as Celery's broker (spec 08 §3, §4 D, §5)."""

from typing import Any

from cloudigrade.settings.environment import CLOUDIGRADE_ENVIRONMENT, clowder, env
from util.clowder import RedisPlace
from util.redis import redis_url


def _place() -> RedisPlace:
    if clowder is not None:
        return env.attempt(clowder.redis, RedisPlace("", 0))
    return RedisPlace(
        host=env("REDIS_HOST"),
        port=env("REDIS_PORT"),
        username=env("REDIS_USERNAME"),
        password=env("REDIS_PASSWORD"),
        tls=env("REDIS_SSL"),
    )


def _url(place: RedisPlace) -> str:
    if clowder is not None:
        return redis_url(place)
    return env("REDIS_URL") or redis_url(place, database=env("REDIS_DB"))


def _tls() -> dict[str, Any] | None:
    if not REDIS_URL.startswith("rediss://"):
        return None
    if clowder is not None:
        return {"ssl_cert_reqs": "required"}
    options = {"ssl_cert_reqs": env("REDIS_SSL_CERT_REQS"), "ssl_ca_certs": env("REDIS_CA_CERTS")}
    return {name: value for name, value in options.items() if value}


_redis = _place()

REDIS_HOST = _redis.host
REDIS_PORT = _redis.port
REDIS_URL = _url(_redis)
REDIS_TLS = _tls()
REDIS_SENTINEL_MASTER = env("REDIS_SENTINEL_MASTER")
REDIS_HEALTH_CHECK_INTERVAL = env("REDIS_HEALTH_CHECK_INTERVAL")

CACHE_TTL_DEFAULT = env("CACHE_TTL_DEFAULT")
CACHES = {
    "default": {
        "BACKEND": "util.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": f"{CLOUDIGRADE_ENVIRONMENT}-cloudigrade",
        "TIMEOUT": CACHE_TTL_DEFAULT,
    }
}
