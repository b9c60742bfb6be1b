"""Which subscriptions, and which of their scale sets, have been out of reach for a while.

For metrics and alerts (decision 33): a few rows of the index of polls for each account.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

POLLS_UNTIL_ALERT = 3

MOST_SUBSCRIPTIONS = 50
"""That are told; the metrics' labels name them."""

_POLLED = """a.cloud_type = 'azure' AND a.is_enabled
  AND NOT a.platform_application_is_paused AND NOT a.is_synthetic"""

# Of each account the newest polls are read, back to the last good one, but not too many.
_REFUSED = f"""
SELECT a.subscription_id::text, count(*)
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT outcome, bool_or(outcome = 'ok') OVER (ORDER BY started_at DESC, id DESC) AS is_past
    FROM (
        SELECT id, started_at, outcome FROM api_describerun
        WHERE cloud_account_id = a.id AND kind = 'azure_poll'
          AND started_at >= coalesce(a.enabled_at, '-infinity')
        ORDER BY started_at DESC LIMIT 50
    ) newest
) poll
WHERE {_POLLED} AND poll.outcome = 'denied' AND NOT poll.is_past
GROUP BY a.id
ORDER BY count(*) DESC, a.id
LIMIT %s
"""  # noqa: S608 - made of constants

_UNREADABLE = f"""
SELECT a.subscription_id::text, count(*)
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT name
    FROM (
        SELECT unreadable FROM api_describerun
        WHERE cloud_account_id = a.id AND kind = 'azure_poll' AND outcome = 'ok'
        ORDER BY started_at DESC LIMIT %s
    ) newest, jsonb_array_elements_text(newest.unreadable) AS name
    GROUP BY name HAVING count(*) = %s
) scale_set
WHERE {_POLLED}
GROUP BY a.id
ORDER BY count(*) DESC, a.id
LIMIT %s
"""  # noqa: S608 - made of constants


# What was a month ago is not looked for: that is long enough for any alert.
_UNSEEN = f"""
SELECT a.subscription_id::text, extract(epoch FROM now() - seen.at)
FROM api_cloudaccount a CROSS JOIN LATERAL (
    SELECT GREATEST(a.enabled_at, now() - interval '30 days', (
        SELECT finished_at FROM api_describerun
        WHERE cloud_account_id = a.id AND kind = 'azure_poll' AND outcome = 'ok'
          AND started_at > now() - interval '30 days'
        ORDER BY started_at DESC LIMIT 1
    )) AS at
) seen
WHERE {_POLLED} AND seen.at < now() - %s
ORDER BY seen.at, a.id
LIMIT %s
"""  # noqa: S608 - made of constants


class SubscriptionTrouble(NamedTuple):
    """A subscription, and how many polls, scale sets or seconds something is said of."""

    subscription_id: str
    number: float


def refused_subscriptions() -> list[SubscriptionTrouble]:
    """Return the subscriptions that Azure refuses us, with how many polls since the last good one.

    Those refused for the longest time come first; at most 50 of them.
    """
    return _select(_REFUSED, MOST_SUBSCRIPTIONS)


def unreadable_scale_sets() -> list[SubscriptionTrouble]:
    """Return the subscriptions with scale sets that none of the last three polls could read.

    With how many these are; at most 50 subscriptions, those with the most of them first.
    """
    return _select(_UNREADABLE, POLLS_UNTIL_ALERT, POLLS_UNTIL_ALERT, MOST_SUBSCRIPTIONS)


def unseen_subscriptions() -> list[SubscriptionTrouble]:
    """Return the subscriptions that no poll could read for some rounds, with seconds since then.

    Whatever the reason; at most 50, those unseen for the longest time first. None where polls are
    switched off.
    """
    period = settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE
    if not (settings.ENABLE_AZURE_VM_DISCOVERY and period):
        return []
    return _select(_UNSEEN, timedelta(seconds=POLLS_UNTIL_ALERT * period), MOST_SUBSCRIPTIONS)


def _select(statement: str, *parameters: Any) -> list[SubscriptionTrouble]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [
            SubscriptionTrouble(subscription_id, float(number))
            for subscription_id, number in cursor.fetchall()
        ]
