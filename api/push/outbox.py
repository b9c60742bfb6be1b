"""Note which days of which customers consumers have to hear of (spec 14 §5.1).

Each function belongs into the transaction that makes the change: an entry is there exactly if the
change is. Nothing is written while ``USAGE_PUSH`` and ``USAGE_PUSH_SWATCH`` are off. Times are
PostgreSQL's (decision 41).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from api.models import Topic
from util.arrays import array_literal

_END_OF_DAY = "(changed.date + 1)::timestamp AT TIME ZONE 'UTC'"

# Entries are locked in one order by everybody. What waits already keeps its place.
_RECORD = f"""
INSERT INTO api_usageoutboxentry AS waiting
    (topic, user_id, date, revision, version, is_replay, recorded_at, due_at)
SELECT topic, changed.user_id, changed.date, changed.revision, 1, %(is_replay)s, clock_timestamp(),
       CASE WHEN topic = ANY(%(at_once)s) THEN clock_timestamp()
            ELSE GREATEST(clock_timestamp(), {_END_OF_DAY}) END
FROM ({{changed}}) changed
CROSS JOIN unnest(%(topics)s) AS topic
ORDER BY changed.user_id, changed.date, topic
ON CONFLICT (user_id, date, topic) DO UPDATE
SET revision = EXCLUDED.revision, version = waiting.version + 1,
    is_replay = waiting.is_replay OR EXCLUDED.is_replay,
    due_at = LEAST(waiting.due_at, EXCLUDED.due_at)
WHERE waiting.withdrawn IS NULL
"""  # noqa: S608 - made of constants

_CALCULATED = """
SELECT usage.user_id, usage.date, usage.revision
FROM unnest(%(users)s::bigint[], %(days)s::date[]) AS day (user_id, date)
JOIN api_concurrentusage usage ON usage.user_id = day.user_id AND usage.date = day.date
"""

_STORED = """
SELECT user_id, date, revision FROM api_concurrentusage
WHERE user_id = ANY(%(users)s::bigint[]) AND date BETWEEN %(first)s AND %(last)s
"""

_QUALITY = """
SELECT usage.user_id, usage.date, usage.revision
FROM (
    SELECT DISTINCT account.user_id
    FROM unnest(%(accounts)s::bigint[], %(states)s::text[]) AS fresh (account_id, state)
    JOIN api_cloudaccount account ON account.id = fresh.account_id
    LEFT JOIN api_coverageday held
      ON held.cloud_account_id = account.id AND held.date = %(day)s
    WHERE held.state IS DISTINCT FROM fresh.state
) changed
JOIN api_concurrentusage usage ON usage.user_id = changed.user_id AND usage.date = %(day)s
"""

_TOLD = """
SELECT usage.user_id, usage.date, usage.revision
FROM api_publishedusage told
JOIN api_concurrentusage usage ON usage.user_id = told.user_id AND usage.date = told.date
WHERE told.user_id = %(user)s
"""

# Whoever is about to tell something of these customers has done so, or finds them gone.
_HOLD_CUSTOMERS = "SELECT id FROM api_user WHERE id = ANY(%(users)s) ORDER BY id FOR UPDATE"

_FORGET = "DELETE FROM api_usageoutboxentry WHERE user_id = ANY(%(users)s) AND withdrawn IS NULL"

_WITHDRAW = """
INSERT INTO api_usageoutboxentry
    (topic, user_id, date, revision, version, is_replay, withdrawn, recorded_at, due_at)
SELECT topic, told.user_id, told.date, told.revision, 1, false,
       jsonb_build_object('uuid', customer.uuid, 'org_id', customer.org_id,
                          'account_number', customer.account_number),
       clock_timestamp(), clock_timestamp()
FROM (
    SELECT %(usage)s AS topic, user_id, date, revision + 1 AS revision FROM api_publishedusage
    WHERE user_id = ANY(%(users)s)
    UNION ALL
    SELECT DISTINCT %(swatch)s, user_id, date, 1 FROM api_publishedhours
    WHERE user_id = ANY(%(users)s)
) told
JOIN api_user customer ON customer.id = told.user_id
ON CONFLICT (user_id, date, topic) DO NOTHING
"""

_KEEP_COUNTING = """
WITH taken AS (
    DELETE FROM api_publishedusage told
    USING api_concurrentusage usage
    WHERE told.user_id = %(other)s AND usage.user_id = %(user)s AND usage.date = told.date
    RETURNING told.date, told.revision
)
INSERT INTO api_publishedusage AS told (user_id, date, revision, digest, acknowledged)
SELECT %(user)s, date, revision, '', false FROM taken
ON CONFLICT (user_id, date) DO UPDATE SET revision = GREATEST(told.revision, EXCLUDED.revision)
"""


def topics() -> list[str]:
    """Return the topics that are switched on."""
    switches = {Topic.USAGE: settings.USAGE_PUSH, Topic.SWATCH: settings.USAGE_PUSH_SWATCH}
    return [topic for topic, is_on in switches.items() if is_on]


def record(days: Iterable[tuple[int, date]], *, replay: bool = False) -> int:
    """Note days, each with its user's id, that were calculated; return the number of entries.

    Whether a message then differs from what was told before shows when it is made; with ``replay``
    it is sent in any case. A day that has not ended is told when it ends, unless
    ``USAGE_PUSH_TODAY`` is on. Subscription Watch is told hour by hour.
    """
    wanted = topics()
    pairs = list(days) if wanted else []
    if not pairs:
        return 0
    users, dates = zip(*pairs, strict=True)
    parameters: dict[str, Any] = {"users": array_literal(users), "days": array_literal(dates)}
    return _record(_CALCULATED, wanted, replay=replay, **parameters)


def record_range(user_ids: Iterable[int], *, first: date, last: date) -> int:
    """Note all days of customers in a range, both ends included, to be sent again in any case.

    Return the number of entries. Nothing is noted while ``USAGE_PUSH`` is off.
    """
    if not settings.USAGE_PUSH:
        return 0
    users = array_literal(user_ids)
    return _record(_STORED, [Topic.USAGE], replay=True, users=users, first=first, last=last)


@contextmanager
def change_of_quality(
    day: date, *, account_ids: Iterable[int], states: Iterable[str]
) -> Iterator[None]:
    """Note a day of those customers whose accounts get another state of it in this block."""
    if not settings.USAGE_PUSH:
        yield
        return
    accounts, fresh = array_literal(account_ids), array_literal(map(str, states))
    with transaction.atomic():
        _record(_QUALITY, [Topic.USAGE], replay=False, day=day, accounts=accounts, states=fresh)
        yield


def record_again(user_id: int) -> None:
    """Note all days that were told of a customer, whose account number or org id has changed."""
    if settings.USAGE_PUSH:
        _record(_TOLD, [Topic.USAGE], replay=False, user=user_id)


def withdraw(user_ids: Iterable[int]) -> None:
    """Note that these customers are about to be deleted.

    Every day that consumers were told of is withdrawn; what waits to be told is not told any more.
    To be called before the deletion, which holds on to the customers from here on.
    """
    users = list(user_ids)
    if not users or not topics():
        return
    parameters: dict[str, Any] = {"users": users, "usage": Topic.USAGE, "swatch": Topic.SWATCH}
    with connection.cursor() as cursor:
        for statement in (_HOLD_CUSTOMERS, _FORGET, _WITHDRAW):
            cursor.execute(statement, parameters)


def hand_over(*, from_user: int, to_user: int) -> None:
    """Note that a customer is about to be merged into another one and deleted (decision 4).

    The survivor's days are told anew, with revisions above those of both. Days that the survivor
    does not have are withdrawn.
    """
    if not topics():
        return
    with connection.cursor() as cursor:
        cursor.execute(_HOLD_CUSTOMERS, {"users": [from_user, to_user]})
        cursor.execute(_KEEP_COUNTING, {"user": to_user, "other": from_user})
    withdraw([from_user])
    record_again(to_user)


def _record(changed: str, wanted: Sequence[str], *, replay: bool, **parameters: Any) -> int:
    at_once = [Topic.SWATCH] + [Topic.USAGE] * bool(settings.USAGE_PUSH_TODAY)
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD.format(changed=changed),
            {"topics": list(wanted), "at_once": at_once, "is_replay": replay, **parameters},
        )
        return cursor.rowcount
