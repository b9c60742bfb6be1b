"""What needs somebody to look at it, each with where to look (spec 12 §1 "needs a look")."""

from collections.abc import Iterator
from typing import NamedTuple

from django.db import connection

from api.clouds.aws.describe.health import failing_accounts, unseen_accounts
from api.clouds.azure.health import refused_subscriptions, unseen_subscriptions

MOST_OF_A_KIND = 10
"""Troubles of one kind that are shown one by one."""


class FleetTrouble(NamedTuple):
    """One thing that is wrong, and the id under which a search finds what it is about."""

    text: str
    search: str


# Images whose inspection is not over after half a day; entries of the outbox that wait for long;
# messages and tasks that were given up.
_STUCK = """
(SELECT 'image', cloud_image_id, status, extract(epoch FROM now() - updated_at)
 FROM api_machineimage
 WHERE status IN ('pending', 'preparing', 'inspecting') AND cloud_type = 'aws'
   AND updated_at < now() - interval '12 hours'
 ORDER BY updated_at LIMIT %(limit)s)
UNION ALL
(SELECT 'outbox', '', task, extract(epoch FROM now() - min(issued_at))
 FROM api_outboxentry
 WHERE done_at IS NULL AND issued_at < now() - interval '5 minutes'
 GROUP BY task ORDER BY min(issued_at) LIMIT %(limit)s)
UNION ALL
(SELECT 'inbox', coalesce(org_id, account_number, ''), event_type,
        extract(epoch FROM now() - received_at)
 FROM api_inboxmessage
 WHERE state = 'dead'
 ORDER BY received_at LIMIT %(limit)s)
UNION ALL
(SELECT 'set_aside', '', name, extract(epoch FROM now() - updated_at)
 FROM api_setasidetask
 WHERE released_at IS NULL
 ORDER BY updated_at LIMIT %(limit)s)
"""


def troubles() -> list[FleetTrouble]:
    """Return what is wrong now, a few of each kind; five statements."""
    return [*_accounts(), *_stuck()]


def _accounts() -> Iterator[FleetTrouble]:
    kinds = (
        (failing_accounts(), "{} regions cannot be described"),
        (unseen_accounts(), "not described for {} s"),
    )
    for found, text in kinds:
        for account_id, number in found[:MOST_OF_A_KIND]:
            shown = text.format(int(number))
            yield FleetTrouble(f"AWS account {account_id}: {shown}", account_id)
    polls = (
        (refused_subscriptions(), "refused {} polls"),
        (unseen_subscriptions(), "not polled for {} s"),
    )
    for subscriptions, text in polls:
        for subscription_id, number in subscriptions[:MOST_OF_A_KIND]:
            shown = text.format(int(number))
            yield FleetTrouble(f"Azure subscription {subscription_id}: {shown}", subscription_id)


_TEXTS = {
    "image": "image {key} has been {what} for {hours:.0f} h",
    "outbox": "outbox: {what} has waited for {minutes:.0f} min",
    "inbox": "inbox: a message {what} of {key} is dead since {hours:.0f} h",
    "set_aside": "task {what} was set aside {hours:.0f} h ago",
}


def _stuck() -> Iterator[FleetTrouble]:
    with connection.cursor() as cursor:
        cursor.execute(_STUCK, {"limit": MOST_OF_A_KIND})
        rows = cursor.fetchall()
    for kind, key, what, seconds in rows:
        text = _TEXTS[kind].format(
            key=key or "nobody", what=what, hours=seconds / 3600, minutes=seconds / 60
        )
        yield FleetTrouble(text, key)
