"""Log what clouds say and the tables do not know (spec 11 §2, acceptance 9)."""

import logging
from collections.abc import Mapping

from django.core.cache import cache
from redis import RedisError

from api.billing.classes import KNOWN_OPERATIONS

logger = logging.getLogger(__name__)

SECONDS_TO_REMEMBER = 30 * 86_400
KNOWN_TO_BE = "billing_unknown_{}"


def report_unknown(words: Mapping[str, int]) -> None:
    """Log each usage operation or licence that no table has, with one of its instances, once."""
    for word, instance_id in words.items():
        if word not in KNOWN_OPERATIONS and _is_new(word):
            logger.warning(
                "api/billing/tables.json does not know %s, of instance %s", word, instance_id
            )


def _is_new(word: str) -> bool:
    try:
        return cache.add(
            KNOWN_TO_BE.format(word[:100].replace(" ", "_")), True, SECONDS_TO_REMEMBER
        )
    except RedisError:
        return False
