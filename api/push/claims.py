"""Entries of the outbox on their way to the broker (spec 14 §5.1).

A publisher takes entries under row locks, which last while it makes their messages, and leases them
for the time in which it sends those: no transaction is open then. An entry of a publisher that died
is taken again when the lease is over; its message has the same id. Several publishers may work at
once. Times are PostgreSQL's.
"""

import datetime
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from api.models.usage import is_stale
from util.arrays import array_literal

LEASE_SECONDS = 30
"""After which another publisher takes over, or the same one tries again after a failure."""

# A day that is being calculated again acts as if it were gone: its message waits for that.
_TAKE = f"""
SELECT entry.id, entry.version, entry.user_id, entry.date, entry.revision, entry.is_replay,
       entry.withdrawn, entry.recorded_at, statement_timestamp()
FROM api_usageoutboxentry entry
WHERE entry.topic = %(topic)s AND entry.due_at <= statement_timestamp()
  AND (entry.leased_until IS NULL OR entry.leased_until <= statement_timestamp())
  AND (entry.withdrawn IS NOT NULL OR NOT {is_stale("entry.user_id", "entry.date")})
ORDER BY entry.due_at, entry.id
LIMIT %(limit)s
FOR UPDATE OF entry SKIP LOCKED
"""  # noqa: S608 - made of constants

_LEASE = """
UPDATE api_usageoutboxentry
SET leased_until = statement_timestamp() + make_interval(secs => %(seconds)s)
WHERE id = ANY(%(ids)s::bigint[])
"""

# An entry that changed meanwhile, or is locked by whoever changes it now, has to be told again. One
# of a day that goes on is kept until there is more to tell of that day.
_SETTLE = """
WITH held AS MATERIALIZED (
    SELECT entry.id, sent.next_due_at, entry.version = sent.version AS is_unchanged,
           entry.version = sent.version AND sent.next_due_at IS NULL AS is_done
    FROM unnest(%(ids)s::bigint[], %(versions)s::int[], %(due)s::timestamptz[])
        AS sent (id, version, next_due_at)
    JOIN api_usageoutboxentry entry ON entry.id = sent.id
    ORDER BY entry.user_id, entry.date, entry.topic
    FOR UPDATE OF entry SKIP LOCKED
), done AS (
    DELETE FROM api_usageoutboxentry entry USING held WHERE entry.id = held.id AND held.is_done
)
UPDATE api_usageoutboxentry entry
SET leased_until = NULL, is_replay = entry.is_replay AND NOT held.is_unchanged,
    due_at = CASE WHEN held.is_unchanged THEN held.next_due_at ELSE entry.due_at END
FROM held
WHERE entry.id = held.id AND NOT held.is_done
"""

_FORGET_WITHOUT_USAGE = """
DELETE FROM api_usageoutboxentry entry
WHERE id = ANY(%s::bigint[]) AND withdrawn IS NULL AND NOT EXISTS (
    SELECT FROM api_concurrentusage usage
    WHERE usage.user_id = entry.user_id AND usage.date = entry.date)
"""


class Claim(NamedTuple):
    """An entry of the outbox that this process is working on."""

    id: int
    version: int
    user_id: int
    date: datetime.date
    revision: int
    is_replay: bool
    withdrawn: dict[str, Any] | None
    recorded_at: datetime.datetime
    now: datetime.datetime
    """When it was taken, by PostgreSQL's clock, in UTC."""

    @property
    def is_of_past_day(self) -> bool:
        """Return whether the day had ended."""
        return self.date < self.now.date()


@dataclass(frozen=True)
class Outgoing:
    """A message to be sent, and the claim that it settles."""

    claim: Claim
    key: str
    value: bytes
    next_due: datetime.datetime | None = None
    """When the day has to be told again in any case."""


def take(topic: str, *, limit: int) -> list[Claim]:
    """Lock the oldest entries of a topic that are due; to be called in a transaction.

    Entries that others are working on are left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"topic": topic, "limit": limit})
        claims = [Claim(*row) for row in cursor.fetchall()]
    return [
        claim._replace(withdrawn=json.loads(str(claim.withdrawn))) if claim.withdrawn else claim
        for claim in claims
    ]


def lease(claims: Iterable[Claim]) -> None:
    """Keep entries from others while their messages are sent."""
    ids = sorted({claim.id for claim in claims})
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(_LEASE, {"ids": array_literal(ids), "seconds": LEASE_SECONDS})


def settle(done: Iterable[tuple[Claim, datetime.datetime | None]]) -> None:
    """Take entries whose messages the broker has out of the outbox.

    Each comes with the moment when its day has to be told again in any case, None if it has not.
    """
    pairs = list(done)
    if not pairs:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            {
                "ids": array_literal(claim.id for claim, _ in pairs),
                "versions": array_literal(claim.version for claim, _ in pairs),
                "due": array_literal(due for _, due in pairs),
            },
        )


def forget_without_usage(claims: Collection[Claim]) -> None:
    """Take entries of days that have no row of usage any more out of the outbox."""
    if claims:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET_WITHOUT_USAGE, [array_literal(claim.id for claim in claims)])
