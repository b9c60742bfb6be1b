"""The inbox: messages of the sources service, stored before Kafka forgets them (decision 27).

The listener stores and queues them here; ``api.sources.work`` takes them out in order.
"""

import datetime
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DataError, connection, transaction
from django.db.models import Count, Min

from api.models import InboxMessage
from api.sources.messages import TASKS
from util import clock
from util.tasks import enqueue, publishing_must_succeed

logger = logging.getLogger(__name__)

KEPT_DAYS = 30
"""How long a processed message is kept."""

PUBLISHED_AT_ONCE = 1000
PRUNED_AT_ONCE = 10_000
SWEPT_AT_ONCE = 10_000

INBOX_ID_HEADER = "inbox_id"
FOLLOW_UP_HEADER = "inbox_follow_up"
"""Headers of a Celery message that tie a task to a stored message."""

State = InboxMessage.State
UNFINISHED = (State.WAITING, State.WORKING, State.HANDED_ON, State.FAILED)

_STORE = """
INSERT INTO api_inboxmessage (topic, "partition", "offset", written_at, event_type, customer_key,
                              value, headers, state, attempts, reason, received_at, not_before,
                              follow_ups)
SELECT topic, place, number, written_at, event_type, customer_key, value::jsonb, headers::jsonb,
       'waiting', 0, '', %(now)s, %(now)s, '[]'
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[],
            %(written_at)s::timestamptz[], %(event_types)s::text[], %(customer_keys)s::text[],
            %(values)s::text[], %(headers)s::text[])
     WITH ORDINALITY
     AS arrived (topic, place, number, written_at, event_type, customer_key, value, headers, turn)
ORDER BY turn
ON CONFLICT (topic, "partition", "offset") DO NOTHING
RETURNING id, topic, "partition", "offset"
"""

# A topic that was made anew counts its offsets from 0 again: the older message gives way, it keeps
# everything but its place.
_MAKE_WAY = """
UPDATE api_inboxmessage message
SET topic = message.topic || ' before ' || %(now)s::text
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[],
            %(written_at)s::timestamptz[]) AS arrived (topic, place, number, written_at)
WHERE message.topic = arrived.topic AND message."partition" = arrived.place
  AND message."offset" = arrived.number AND message.written_at <> arrived.written_at
"""

# The first unfinished message of each customer, if it may be worked on and no task for it was
# queued for a while: at first a minute, by default, then as long again as it has waited, up to ten
# minutes.
_DUE = """
SELECT head.id
FROM (
    SELECT DISTINCT ON (customer_key) id, state, not_before, lease_until, queued_at, received_at
    FROM api_inboxmessage
    WHERE state IN ('waiting', 'working', 'handed_on', 'failed')
    ORDER BY customer_key, id
) head
WHERE head.not_before <= %(now)s
  AND (head.lease_until IS NULL OR head.lease_until < %(now)s)
  AND (head.queued_at IS NULL OR %(now)s - head.queued_at > LEAST(
        GREATEST(head.queued_at - head.received_at, %(wait)s), interval '10 minutes'))
ORDER BY head.id
LIMIT %(limit)s
"""

_PRUNE = """
DELETE FROM api_inboxmessage
WHERE id IN (
    SELECT id FROM api_inboxmessage
    WHERE state = 'processed' AND finished_at < %(before)s
    LIMIT %(limit)s
)
"""


class Coordinates(NamedTuple):
    """Where in Kafka a message is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Received:
    """A relevant message as it came from Kafka, decoded; ``headers`` are all of them."""

    coordinates: Coordinates
    written_at: datetime.datetime | None
    event_type: str
    customer_key: str
    value: dict[str, Any]
    headers: list[list[str | None]]
    kept_headers: list[list[str | None]]


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the inbox is doing; ``oldest_waiting_seconds`` is 0 when nothing waits."""

    counts: dict[str, int]
    oldest_waiting_seconds: float


def store(
    messages: Sequence[Received],
) -> tuple[list[tuple[int, Received]], list[Received]]:
    """Store messages in their order, unless they have come before.

    A message is known by its place in Kafka and the time that Kafka has for it. Returns the new
    ones with their ids; and those that the database can not hold, such as text with NUL characters.
    Raises ``OperationalError`` or ``InterfaceError`` when the database is away: then the same
    messages may be stored again.
    """
    if not messages:
        return [], []
    try:
        return _store(messages), []
    except (DataError, ValueError):
        if len(messages) == 1:
            return [], list(messages)
    stored: list[tuple[int, Received]] = []
    rejected: list[Received] = []
    for message in messages:
        more_stored, more_rejected = store([message])
        stored += more_stored
        rejected += more_rejected
    return stored, rejected


def _store(messages: Sequence[Received]) -> list[tuple[int, Received]]:
    by_coordinates = {message.coordinates: message for message in messages}
    parameters = {
        "now": clock.now(),
        "topics": [message.coordinates.topic for message in messages],
        "partitions": [message.coordinates.partition for message in messages],
        "offsets": [message.coordinates.offset for message in messages],
        "written_at": [message.written_at for message in messages],
        "event_types": [message.event_type for message in messages],
        "customer_keys": [message.customer_key for message in messages],
        "values": [json.dumps(message.value) for message in messages],
        "headers": [json.dumps(message.kept_headers) for message in messages],
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_STORE, parameters)
        rows = cursor.fetchall()
        if len(rows) < len(messages):
            cursor.execute(_MAKE_WAY, parameters)
            if cursor.rowcount:
                logger.error("Kafka gave %s offsets a second time", cursor.rowcount)
                cursor.execute(_STORE, parameters)
                rows += cursor.fetchall()
    return [(row[0], by_coordinates[Coordinates(*row[1:])]) for row in sorted(rows)]


def publish_new(stored: Iterable[tuple[int, Received]]) -> None:
    """Queue the task of each message just stored, and remember which were queued.

    Raises what the broker's client raises; the rest is left for ``publish_unqueued``.
    """
    queued: list[int] = []
    try:
        for inbox_id, message in stored:
            _publish(inbox_id, message.event_type, message.value, message.headers)
            queued.append(inbox_id)
    finally:
        _mark_queued(queued)


def publish_unqueued() -> None:
    """Queue the task of each stored message that never had one; raises as ``publish_new``."""
    waiting = InboxMessage.objects.filter(state=State.WAITING, queued_at__isnull=True)
    while chunk := list(waiting.order_by("id")[:PUBLISHED_AT_ONCE]):
        _publish_all(chunk)


def publish_due() -> int:
    """Queue a task for each customer whose turn has come and for whom none seems to be queued.

    One task is enough, as it goes on with the customer's next message. Returns how many were
    queued; raises what the broker's client raises.
    """
    due = _due()
    _publish_all(due)
    return len(due)


def publish_later(message: InboxMessage, *, seconds: float) -> None:
    """Queue a task that will look after the message's customer in so many seconds."""
    due = clock.now() + datetime.timedelta(seconds=seconds)
    _publish(
        message.id, message.event_type, message.value, message.headers, countdown=max(seconds, 0)
    )
    InboxMessage.objects.filter(id=message.id).update(queued_at=due)


def _publish_all(messages: Iterable[InboxMessage]) -> None:
    queued: list[int] = []
    try:
        for message in messages:
            _publish(message.id, message.event_type, message.value, message.headers)
            queued.append(message.id)
    finally:
        _mark_queued(queued)


def _mark_queued(inbox_ids: Sequence[int]) -> None:
    if inbox_ids:
        InboxMessage.objects.filter(id__in=inbox_ids).update(queued_at=clock.now())


def prune() -> int:
    """Delete messages that were processed long ago, a bounded number of them; returns how many."""
    before = clock.now() - datetime.timedelta(days=KEPT_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, {"before": before, "limit": PRUNED_AT_ONCE})
        return cursor.rowcount


def retry(inbox_ids: Iterable[int] | None = None) -> int:
    """Let failed and dead messages, by default all, be worked on again at once; returns how many.

    Their attempts are forgotten. The next sweep queues them.
    """
    broken = InboxMessage.objects.filter(state__in=[State.FAILED, State.DEAD])
    if inbox_ids is not None:
        broken = broken.filter(id__in=list(inbox_ids))
    return broken.update(
        state=State.WAITING,
        attempts=0,
        not_before=clock.now(),
        queued_at=None,
        lease_until=None,
        lease_token=None,
        finished_at=None,
    )


def statistics() -> Statistics:
    """Count the messages that are unfinished or dead, and tell how long the oldest has waited."""
    unfinished = list(
        InboxMessage.objects.filter(state__in=UNFINISHED)
        .values("state")
        .annotate(count=Count("id"), oldest=Min("received_at"))
    )
    counts = {str(state): 0 for state in UNFINISHED}
    counts |= {row["state"]: row["count"] for row in unfinished}
    counts[str(State.DEAD)] = InboxMessage.objects.filter(state=State.DEAD).count()
    waiting = [row["oldest"] for row in unfinished]
    age = (clock.now() - min(waiting)).total_seconds() if waiting else 0.0
    return Statistics(counts=counts, oldest_waiting_seconds=max(age, 0.0))


def _due() -> list[InboxMessage]:
    with connection.cursor() as cursor:
        wait = datetime.timedelta(seconds=settings.INBOX_REQUEUE_SECONDS)
        cursor.execute(_DUE, {"now": clock.now(), "wait": wait, "limit": SWEPT_AT_ONCE})
        ids = [row[0] for row in cursor.fetchall()]
    return list(InboxMessage.objects.filter(id__in=ids).order_by("id"))


def _publish(
    inbox_id: int, event_type: str, value: Any, headers: Any, countdown: float | None = None
) -> None:
    with publishing_must_succeed():
        enqueue(
            TASKS[event_type],
            value,
            headers,
            countdown=countdown,
            headers={INBOX_ID_HEADER: str(inbox_id)},
        )
