"""Messages of the usage topic: CloudEvents 1.0, the whole state of a user's day (spec 14 §5.1).

docs/push.md tells consumers what they may rely on, docs/schemas/usage-day-changed.v1.json has the
schema, docs/decisions/0140-usage-over-kafka.md says why it is like this.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection

from api.coverage.quality import states_of_days
from api.measures.totals import totals_of_days
from api.metering.count_text import named_counts
from api.push.claims import Claim, Outgoing, forget_without_usage, lease, settle
from util.arrays import array_literal

CONTENT_TYPE = "application/cloudevents+json"
TYPE = "com.redhat.cloudigrade.usage.day.changed.v1"
LARGEST = 512 * 1024
"""Bytes of a message; a larger one has an address in place of its counts."""
_ROOM_FOR_THE_REST = 4096
"""Bytes that all the other members of a message fit into."""
BYTES_AT_ONCE = 8 * 1024 * 1024
"""Bytes of stored counts that are made into messages together."""
DIGEST_SIZE = 16

# The customers stay while their messages are made. Whoever is being deleted is left out.
_READ = """
WITH customer AS MATERIALIZED (
    SELECT id, uuid, org_id, account_number FROM api_user
    WHERE id = ANY(%(users)s::bigint[])
    ORDER BY id
    FOR KEY SHARE SKIP LOCKED
), day AS MATERIALIZED (
    SELECT usage.user_id, usage.date, usage.revision, usage.updated_at,
           usage.maximum_counts::text AS counts
    FROM unnest(%(users)s::bigint[], %(days)s::date[]) AS wanted (user_id, date)
    JOIN api_concurrentusage usage
      ON usage.user_id = wanted.user_id AND usage.date = wanted.date
), measured AS (
    SELECT day.*, octet_length(counts) AS size FROM day
)
SELECT user_id, date, uuid, org_id, account_number, revision, updated_at, size,
       CASE WHEN size <= %(largest)s
             AND sum(CASE WHEN size <= %(largest)s THEN size ELSE 0 END)
                 OVER (ORDER BY user_id, date) <= %(at_once)s
            THEN counts END
FROM measured JOIN customer ON customer.id = measured.user_id
ORDER BY user_id, date
"""

# The revision rises with every other content, and never lags behind that of the usage row.
_NUMBER = """
INSERT INTO api_publishedusage AS told (user_id, date, revision, digest, acknowledged)
SELECT user_id, date, revision, digest, false
FROM unnest(%(users)s::bigint[], %(days)s::date[], %(revisions)s::int[], %(digests)s::bytea[])
    AS made (user_id, date, revision, digest)
ORDER BY user_id, date
ON CONFLICT (user_id, date) DO UPDATE
SET revision = CASE WHEN told.digest = EXCLUDED.digest THEN told.revision
                    ELSE GREATEST(told.revision + 1, EXCLUDED.revision) END,
    acknowledged = told.acknowledged AND told.digest = EXCLUDED.digest,
    digest = EXCLUDED.digest
RETURNING user_id, date, revision, acknowledged
"""

_ACKNOWLEDGE = """
UPDATE api_publishedusage told SET acknowledged = true
FROM unnest(%(users)s::bigint[], %(days)s::date[], %(revisions)s::int[])
    AS sent (user_id, date, revision)
WHERE told.user_id = sent.user_id AND told.date = sent.date AND told.revision = sent.revision
"""

DayKey = tuple[int, date]


@dataclass(frozen=True)
class _ToldDay:
    user_id: int
    date: date
    user_uuid: str
    org_id: str | None
    account_number: str | None
    usage_revision: int
    changed_at: datetime
    size: int
    counts: str | None

    @property
    def key(self) -> DayKey:
        return self.user_id, self.date

    @property
    def is_postponed(self) -> bool:
        return self.counts is None and self.size <= LARGEST


@dataclass(frozen=True)
class DayMessage(Outgoing):
    """A message of the usage topic."""

    revision: int = 0


def prepare(claims: Sequence[Claim]) -> list[DayMessage]:
    """Make the messages of entries, and lease those; to be called in the claims' transaction.

    Days that consumers know as they are leave the outbox without a message. What is more than fits
    into memory stays where it is.
    """
    withdrawn = [_withdrawal(claim) for claim in claims if claim.withdrawn is not None]
    by_key = {(claim.user_id, claim.date): claim for claim in claims if claim.withdrawn is None}
    outgoing = withdrawn + (_changed(by_key) if by_key else [])
    lease(message.claim for message in outgoing)
    return outgoing


def acknowledge(sent: Iterable[DayMessage], _lost: Iterable[DayMessage]) -> None:
    """Note that the broker has messages, and take their entries out of the outbox."""
    messages = sorted(sent, key=lambda one: (one.claim.user_id, one.claim.date))
    told = [one for one in messages if one.claim.withdrawn is None]
    if told:
        with connection.cursor() as cursor:
            cursor.execute(
                _ACKNOWLEDGE,
                {
                    "users": array_literal(one.claim.user_id for one in told),
                    "days": array_literal(one.claim.date for one in told),
                    "revisions": array_literal(one.revision for one in told),
                },
            )
    settle((one.claim, one.next_due) for one in messages)


def _end_of_day_in_progress(claim: Claim) -> datetime | None:
    """Return when a day ends that has not ended, and so has to be told once more; else None."""
    if claim.is_of_past_day:
        return None
    return datetime.combine(claim.date + timedelta(days=1), datetime.min.time(), UTC)


def _changed(claims: Mapping[DayKey, Claim]) -> list[DayMessage]:
    days = _read(claims)
    unread = [claim for key, claim in claims.items() if key not in days]
    forget_without_usage(unread)
    lease(unread)
    ready = [day for day in days.values() if not day.is_postponed]
    details = Details([day.key for day in ready])
    contents = {day.key: _content(day, claims[day.key], details) for day in ready}
    numbered = _number(ready, contents)
    outgoing, known = [], []
    for day in ready:
        claim, (revision, is_known) = claims[day.key], numbered[day.key]
        if is_known and not claim.is_replay:
            known.append(claim)
            continue
        tenant = day.org_id or day.account_number or ""
        value = _event(
            user_uuid=day.user_uuid,
            tenant=tenant,
            day=day.date,
            revision=revision,
            time=day.changed_at,
            content=contents[day.key],
        )
        due = _end_of_day_in_progress(claim)
        outgoing.append(DayMessage(claim, tenant, value, due, revision))
    settle((claim, _end_of_day_in_progress(claim)) for claim in known)
    return outgoing


def _read(keys: Collection[DayKey]) -> dict[DayKey, _ToldDay]:
    with connection.cursor() as cursor:
        cursor.execute(
            _READ,
            {
                "users": array_literal(user_id for user_id, _ in keys),
                "days": array_literal(day for _, day in keys),
                "largest": LARGEST,
                "at_once": BYTES_AT_ONCE,
            },
        )
        days = [_ToldDay(*row) for row in cursor.fetchall()]
    return {day.key: day for day in days}


class Details:
    """What messages tell of days beside their counts."""

    def __init__(self, keys: Collection[DayKey]) -> None:
        """Read everything for these days, in as many statements however many there are."""
        self._states = states_of_days(keys)
        self._totals = totals_of_days(keys)

    def quality(self, key: DayKey) -> dict[str, Any]:
        """Return how far the counts can be trusted (spec 10 §2)."""
        return {"state": self._states[key]}

    def measures(self, key: DayKey) -> dict[str, Any] | None:
        """Return the hours of all instances together (spec 11 §1), None where not known."""
        totals = self._totals.get(key)
        return None if totals is None else totals._asdict()


def _content(day: _ToldDay, claim: Claim, details: Details) -> bytes:
    """Return a message's ``data``, without its revision."""
    members: dict[str, Any] = {
        "org_id": day.org_id,
        "account_number": day.account_number,
        "date": day.date,
        "withdrawn": False,
        "day_ended": claim.is_of_past_day,
        "measures": details.measures(day.key),
        "quality": details.quality(day.key),
    }
    if day.counts is not None:
        counts = named_counts(day.counts).encode()
        if len(counts) <= LARGEST - _ROOM_FOR_THE_REST:
            return msgspec.json.encode({**members, "maximum_counts": msgspec.Raw(counts)})
    return msgspec.json.encode({**members, "maximum_counts_url": _address(day.date)})


def _address(day: date) -> str:
    end = day + timedelta(days=1)
    path = f"/api/cloudigrade/v2/concurrent/?start_date={day}&end_date={end}"
    return f"{settings.USAGE_PUSH_API_BASE_URL}{path}"


def _number(days: Sequence[_ToldDay], contents: Mapping[DayKey, bytes]) -> dict[DayKey, Any]:
    """Return each day's content its revision; tell of each whether consumers have it already."""
    if not days:
        return {}
    digests = [
        hashlib.blake2b(contents[day.key], digest_size=DIGEST_SIZE).hexdigest() for day in days
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _NUMBER,
            {
                "users": array_literal(day.user_id for day in days),
                "days": array_literal(day.date for day in days),
                "revisions": array_literal(day.usage_revision for day in days),
                "digests": array_literal(f"\\x{digest}" for digest in digests),
            },
        )
        return {(user_id, day): told for user_id, day, *told in cursor.fetchall()}


def _withdrawal(claim: Claim) -> DayMessage:
    """Make the message that says that a day's customer was deleted."""
    assert claim.withdrawn is not None
    org_id, account_number = claim.withdrawn["org_id"], claim.withdrawn["account_number"]
    content = msgspec.json.encode(
        {
            "org_id": org_id,
            "account_number": account_number,
            "date": claim.date,
            "withdrawn": True,
            "day_ended": claim.is_of_past_day,
        }
    )
    tenant = org_id or account_number or ""
    value = _event(
        user_uuid=claim.withdrawn["uuid"],
        tenant=tenant,
        day=claim.date,
        revision=claim.revision,
        time=claim.recorded_at,
        content=content,
    )
    return DayMessage(claim, tenant, value, None, claim.revision)


def _event(
    *, user_uuid: str, tenant: str, day: date, revision: int, time: datetime, content: bytes
) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "type": TYPE,
            "source": f"urn:redhat:source:cloudigrade:{settings.CLOUDIGRADE_ENVIRONMENT}",
            "id": f"{user_uuid}:{day}:{revision}",
            "subject": tenant,
            "time": time.astimezone(UTC),
            "datacontenttype": "application/json",
            "data": msgspec.Raw(b'{"revision":%d,%b' % (revision, content[1:])),
        }
    )
