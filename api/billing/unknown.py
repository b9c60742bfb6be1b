"""Tell operators of what clouds say and the tables do not know (spec 11 §2, acceptance 9)."""

import logging
from collections.abc import Iterable
from typing import Any

from django.core.cache import cache
from redis import RedisError

from api.billing.classes import KNOWN_OPERATIONS
from api.models import BillingFinding

logger = logging.getLogger(__name__)

SECONDS_TO_REMEMBER = 30 * 86_400
KNOWN_TO_BE = "billing_unknown_{}"


def report_unknown(found: Iterable[dict[str, Any]]) -> None:
    """Log each usage operation and licence of these findings that no table has, once."""
    told: dict[str, str] = {}
    for finding in found:
        if finding["kind"] == BillingFinding.Kind.UNKNOWN_CLASS:
            for item in finding["evidence"]:
                if item["name"] in ("usage_operation", "licenses"):
                    told.setdefault(_text(item["value"]), finding["instance"]["cloud_id"])
    for word, cloud_id in told.items():
        if word not in KNOWN_OPERATIONS and _is_new(word):
            logger.warning(
                "api/billing/tables.json does not know %s, of instance %s", word, cloud_id
            )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(map(str, value))


def _is_new(word: str) -> bool:
    try:
        return cache.add(
            KNOWN_TO_BE.format(word[:100].replace(" ", "_")), True, SECONDS_TO_REMEMBER
        )
    except RedisError:
        return False
