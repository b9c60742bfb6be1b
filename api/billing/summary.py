"""Keep what is wrong now, for the metric and for lists of instances (spec 11 §2)."""

import json
import logging
from datetime import UTC, datetime, time, timedelta

from django.db import DatabaseError, connection, transaction

from api.billing.findings import FINDINGS, FindingsQuery
from api.billing.unknown import report_unknown
from api.models import BillingFinding, CloudAccount
from util import clock

logger = logging.getLogger(__name__)

UNKNOWN_AT_ONCE = 100
"""How many words that no table knows are told at once."""

_STORE = f"""
{FINDINGS},
stored AS (
    INSERT INTO api_billingfinding (user_id, instance_id, kind, confidence, seconds, found_at)
    SELECT %(user)s, instance_id, kind, min(confidence), sum(seconds)::bigint, %(now)s
    FROM finding GROUP BY instance_id, kind
    ON CONFLICT (instance_id, kind) DO NOTHING
    RETURNING kind
)
SELECT count(*), (
    SELECT jsonb_object_agg(word, instance_id) FROM (
        SELECT coalesce(usage_operation, licenses ->> 0) AS word, min(instance_id) AS instance_id
        FROM finding
        WHERE kind = '{BillingFinding.Kind.UNKNOWN_CLASS}'
          AND coalesce(usage_operation, licenses ->> 0) IS NOT NULL
        GROUP BY 1 ORDER BY 1 LIMIT {UNKNOWN_AT_ONCE}
    ) unknown
) FROM stored
"""  # noqa: S608 - made of constants


def summarize_all() -> int:
    """Bring the summaries of all customers up to date; return how many findings there are.

    A customer whose summary fails keeps the old one, and does not stop the others.
    """
    users = CloudAccount.objects.order_by("user_id").values_list("user_id", flat=True).distinct()
    BillingFinding.objects.exclude(user_id__in=users.order_by()).delete()
    count = 0
    for user_id in users:
        try:
            count += summarize(user_id=user_id)
        except DatabaseError:
            logger.exception("Billing findings of user %s cannot be summarized", user_id)
    return count


def summarize(*, user_id: int) -> int:
    """Bring one customer's summary up to date: yesterday and today (UTC). Return its size."""
    now = clock.now()
    begin = datetime.combine(clock.today() - timedelta(days=1), time(), UTC)
    window = FindingsQuery(user_id=user_id, begin=begin, limit=now, now=now)
    with transaction.atomic(), connection.cursor() as cursor:
        BillingFinding.objects.filter(user_id=user_id).delete()
        cursor.execute(_STORE, {**window.parameters(), "now": now})
        count, unknown = cursor.fetchone()
    report_unknown(json.loads(unknown or "{}"))
    return count
