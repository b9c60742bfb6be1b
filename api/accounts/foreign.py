"""Which authentications belong to applications that are none of ours (spec 03 §13.6).

Every change of any authentication on the platform comes to us, and most of them come again and
again. An application never changes its type, so the answer is remembered for a while.
"""

import logging

import redis
from django.core.cache import cache

from api.sources.client import Record
from api.sources.messages import platform_id

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 86400


def remember_foreign(authentication_id: object, application_id: object) -> None:
    """Remember that this application of this authentication is none of ours."""
    try:
        cache.set(_key(authentication_id, application_id), True, REMEMBERED_SECONDS)
    except redis.RedisError:
        logger.warning("The cache is away: sources will be asked once more")


def without_foreign(links: list[Record]) -> list[Record]:
    """Leave out the links to applications that are known to be none of ours."""
    keys = [_key(link.get("authentication_id"), link.get("application_id")) for link in links]
    try:
        known = cache.get_many(keys)
    except redis.RedisError:
        return links
    return [link for link, key in zip(links, keys, strict=True) if key not in known]


def _key(authentication_id: object, application_id: object) -> str:
    return f"foreign-{platform_id(authentication_id)}-{platform_id(application_id)}"
