"""The inbox: messages of the sources service, stored before Kafka forgets them (decision 27).

The listener stores and queues them here; ``api.sources.work`` takes them out in order. All times
are PostgreSQL's (decision 41).
"""

import datetime
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import DatabaseError, DataError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from api.models import InboxMessage
from api.models.inbox import UNFINISHED
from api.sources.customers import Customers, join_queues, queue_of
from api.sources.messages import (
    TASKS,
    Headers,
    MalformedMessageError,
    Tenant,
    checked_tenant,
    objects_of,
)
from util import stored_work
from util.locks import lock
from util.tasks import enqueue, publishing_must_succeed

logger = logging.getLogger(__name__)

PROGRAM_LIMITS = "54"
"""Class of PostgreSQL's error codes; Django takes them for errors of operation."""

PUBLISHED_AT_ONCE = 200
SWEPT_AT_ONCE = 10_000
RETRIED_AT_ONCE = 200

INBOX_ID_HEADER = "inbox_id"
CHILD_TASK_HEADER = "inbox_follow_up"
"""Headers of a Celery message that tie a task to a stored message."""

State = InboxMessage.State
BROKEN = (State.FAILED, State.DEAD)

_STORING = "inbox-store"
"""Namespace of the lock that has messages stored in one order, whoever stores them."""

_STORE = """
INSERT INTO api_inboxmessage (topic, "partition", "offset", written_at, event_type, customer_key,
                              account_number, org_id, application_id, authentication_id,
                              value, headers, state, attempts, reason, follow_ups)
SELECT topic, place, number, written_at, event_type, customer_key,
       account_number, org_id, application_id, authentication_id,
       value::jsonb, headers::jsonb, 'waiting', 0, '', '[]'
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[],
            %(written_at)s::timestamptz[], %(event_types)s::text[], %(customer_keys)s::text[],
            %(account_numbers)s::text[], %(org_ids)s::text[], %(application_ids)s::bigint[],
            %(authentication_ids)s::bigint[], %(values)s::text[], %(headers)s::text[])
     WITH ORDINALITY
     AS arrived (topic, place, number, written_at, event_type, customer_key, account_number, org_id,
                 application_id, authentication_id, value, headers, turn)
ORDER BY turn
ON CONFLICT (topic, "partition", "offset") DO NOTHING
RETURNING id, topic, "partition", "offset"
"""

# A topic that was made anew counts its offsets from 0 again: the older message gives way, it keeps
# everything but its place.
_MAKE_WAY = """
UPDATE api_inboxmessage message
SET topic = message.topic || ' before ' || statement_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[],
            %(written_at)s::timestamptz[]) AS arrived (topic, place, number, written_at)
WHERE message.topic = arrived.topic AND message."partition" = arrived.place
  AND message."offset" = arrived.number AND message.written_at <> arrived.written_at
"""

_READY_SINCE = "GREATEST(head.not_before, head.received_at)"

# The first unfinished message of each customer, if it may be worked on and no task for it was
# queued for a while. A message that failed may be worked on from the time of its repetition on, and
# waits from then. A task that began, and whose lease ended, does not wait in a queue: it was lost,
# at the latest, when Redis was, so the shortest wait is enough.
_DUE = f"""
SELECT head.id
FROM (
    SELECT DISTINCT ON (customer_key) id, state, not_before, lease_until, queued_at, received_at
    FROM api_inboxmessage
    WHERE state IN ('waiting', 'working', 'handed_on', 'failed')
    ORDER BY customer_key, id
) head
WHERE head.not_before <= statement_timestamp()
  AND (head.lease_until IS NULL OR head.lease_until < statement_timestamp())
  AND (head.queued_at IS NULL
       OR head.state = 'working' AND head.lease_until > head.queued_at
          AND statement_timestamp() - head.lease_until > %(wait)s
       OR {stored_work.seems_lost("head.queued_at", since=_READY_SINCE)})
ORDER BY head.id
LIMIT %(limit)s
"""  # noqa: S608 - made of constants

_RETRY = """
UPDATE api_inboxmessage message
SET state = 'waiting', attempts = 0, revived_at = statement_timestamp(),
    not_before = statement_timestamp(), missing_since = NULL, queued_at = NULL, follow_ups = '[]',
    lease_until = NULL, lease_token = NULL, finished_at = NULL,
    customer_key = broken.customer_key, account_number = broken.account_number,
    org_id = broken.org_id
FROM unnest(%(ids)s::bigint[], %(customer_keys)s::text[], %(account_numbers)s::text[],
            %(org_ids)s::text[])
     AS broken (id, customer_key, account_number, org_id)
WHERE message.id = broken.id AND message.state IN ('failed', 'dead')
"""

_STATISTICS = """
SELECT state, count(*), extract(epoch FROM statement_timestamp() - min(received_at))::float
FROM api_inboxmessage
WHERE state IN ('waiting', 'working', 'handed_on', 'failed')
GROUP BY state
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
    tenant: Tenant
    value: dict[str, Any]
    headers: Headers
    kept_headers: list[list[str | None]]


@dataclass(frozen=True, slots=True)
class InboxStatistics:
    """How the inbox is doing; ``oldest_waiting_seconds`` is 0 when nothing waits."""

    counts: dict[str, int]
    oldest_waiting_seconds: float


def store(
    messages: Sequence[Received],
) -> tuple[list[tuple[int, Received]], list[Received]]:
    """Store messages in their order, unless they have come before.

    A message is known by its place in Kafka and the time that Kafka has for it. Returns the new
    ones with their ids; and those that the database cannot hold, such as text with NUL characters.
    Raises ``OperationalError`` or ``InterfaceError`` when the database is away: then the same
    messages may be stored again.
    """
    if not messages:
        return [], []
    try:
        return _store(messages), []
    except (DatabaseError, ValueError, RecursionError) as error:
        if not _is_content_at_fault(error):
            raise
        if len(messages) == 1:
            return [], list(messages)
    stored: list[tuple[int, Received]] = []
    rejected: list[Received] = []
    for message in messages:
        more_stored, more_rejected = store([message])
        stored += more_stored
        rejected += more_rejected
    return stored, rejected


def _is_content_at_fault(error: Exception) -> bool:
    """Check whether an error says that the database cannot hold what a message is made of.

    Such are text with NUL characters, and what PostgreSQL calls the limits of a program.
    """
    code = getattr(error.__cause__, "pgcode", None) or ""
    is_database_error = isinstance(error, DatabaseError) and not isinstance(error, DataError)
    return not is_database_error or code.startswith(PROGRAM_LIMITS)


def _store(messages: Sequence[Received]) -> list[tuple[int, Received]]:
    by_coordinates = {message.coordinates: message for message in messages}
    with transaction.atomic(), connection.cursor() as cursor:
        lock(_STORING, "")
        customers = Customers(message.tenant for message in messages)
        tenants = [customers.complete(message.tenant) for message in messages]
        parameters = _columns(messages, tenants)
        cursor.execute(_STORE, parameters)
        rows = cursor.fetchall()
        if len(rows) < len(messages):
            cursor.execute(_MAKE_WAY, parameters)
            if cursor.rowcount:
                logger.error("Kafka gave %s offsets a second time", cursor.rowcount)
                cursor.execute(_STORE, parameters)
                rows += cursor.fetchall()
        join_queues(tenants)
    return [(row[0], by_coordinates[Coordinates(*row[1:])]) for row in sorted(rows)]


def _columns(messages: Sequence[Received], tenants: Sequence[Tenant]) -> dict[str, list[Any]]:
    objects = [objects_of(message.event_type, message.value) for message in messages]
    return {
        "topics": [message.coordinates.topic for message in messages],
        "partitions": [message.coordinates.partition for message in messages],
        "offsets": [message.coordinates.offset for message in messages],
        "written_at": [message.written_at for message in messages],
        "event_types": [message.event_type for message in messages],
        "customer_keys": [
            queue_of(tenant, message.coordinates.partition)
            for message, tenant in zip(messages, tenants, strict=True)
        ],
        "account_numbers": [tenant.account_number for tenant in tenants],
        "org_ids": [tenant.org_id for tenant in tenants],
        "application_ids": [one.application_id for one in objects],
        "authentication_ids": [one.authentication_id for one in objects],
        "values": [json.dumps(message.value) for message in messages],
        "headers": [json.dumps(message.kept_headers) for message in messages],
    }


def publish_new(stored: Iterable[tuple[int, Received]]) -> None:
    """Queue the task of each message just stored, and remember which were queued.

    Raises what the broker's client raises; the rest is left for ``publish_unqueued``.
    """
    with stored_work.noting_queued(InboxMessage) as queued:
        for inbox_id, message in stored:
            _publish(inbox_id, message.event_type, message.value, message.headers)
            queued.append(inbox_id)


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
    for first in range(0, len(due), PUBLISHED_AT_ONCE):
        chunk = InboxMessage.objects.filter(id__in=due[first : first + PUBLISHED_AT_ONCE])
        _publish_all(chunk.order_by("id"))
    return len(due)


def publish_later(message: InboxMessage, *, seconds: float) -> None:
    """Queue a task that will look after the message's customer in so many seconds."""
    seconds = max(seconds, 0)
    with publishing_must_succeed():
        _publish(message.id, message.event_type, message.value, message.headers, countdown=seconds)
    due = Now() + datetime.timedelta(seconds=seconds)
    InboxMessage.objects.filter(id=message.id).update(queued_at=due)


def _publish_all(messages: Iterable[InboxMessage]) -> None:
    with stored_work.noting_queued(InboxMessage) as queued:
        for message in messages:
            _publish(message.id, message.event_type, message.value, message.headers)
            queued.append(message.id)


def later_processed(message: InboxMessage) -> QuerySet[InboxMessage]:
    """Return the processed messages about the same object that came after a message.

    There are some only if it was given up before: then it tells of a state that has passed.
    """
    application_id, authentication_id = objects_of(message.event_type, message.value)
    same = Q()
    if application_id is not None:
        same |= Q(application_id=application_id)
    if authentication_id is not None:
        same |= Q(authentication_id=authentication_id)
    later = InboxMessage.objects.filter(same, id__gt=message.id, state=State.PROCESSED)
    return later if same else later.none()


def prune() -> int:
    """Delete messages that were processed long ago, a bounded number of them; returns how many."""
    return stored_work.prune(InboxMessage.objects.filter(state=State.PROCESSED), "finished_at")


def retry(inbox_ids: Iterable[int] | None = None) -> int:
    """Let failed and dead messages, by default all, be worked on again at once; returns how many.

    Each joins its customer's queue of today, in the place that it had. Its attempts are forgotten.
    The next sweep queues it. ``api.accounts.events`` sees to it that a message that is not true any
    more undoes nothing (decision 40).
    """
    broken = InboxMessage.objects.filter(state__in=BROKEN)
    if inbox_ids is not None:
        broken = broken.filter(id__in=list(inbox_ids))
    found = list(broken.order_by("id").values_list("id", flat=True))
    chunks = range(0, len(found), RETRIED_AT_ONCE)
    return sum(_retry(found[first : first + RETRIED_AT_ONCE]) for first in chunks)


def _retry(inbox_ids: Sequence[int]) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        lock(_STORING, "")
        broken = InboxMessage.objects.filter(id__in=inbox_ids, state__in=BROKEN)
        rows = list(broken.values_list("id", "partition", "headers"))
        sent_by = [_sender(headers) for _, _, headers in rows]
        customers = Customers(sent_by)
        tenants = [customers.complete(tenant) for tenant in sent_by]
        parameters: dict[str, Any] = {
            "ids": [inbox_id for inbox_id, _, _ in rows],
            "customer_keys": [
                queue_of(tenant, partition)
                for tenant, (_, partition, _) in zip(tenants, rows, strict=True)
            ],
            "account_numbers": [tenant.account_number for tenant in tenants],
            "org_ids": [tenant.org_id for tenant in tenants],
        }
        cursor.execute(_RETRY, parameters)
        retried = cursor.rowcount
        join_queues(tenants)
    return retried


def _sender(headers: Headers) -> Tenant:
    """Return who sent a stored message; nobody, if no customer can have such ids."""
    try:
        return checked_tenant(headers)
    except MalformedMessageError:
        return Tenant(None, None)


def statistics() -> InboxStatistics:
    """Count the messages that are unfinished or dead, and tell how long the oldest has waited."""
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS)
        unfinished = cursor.fetchall()
    counts = dict.fromkeys(UNFINISHED, 0)
    counts |= {state: count for state, count, _ in unfinished}
    counts[str(State.DEAD)] = InboxMessage.objects.filter(state=State.DEAD).count()
    return InboxStatistics(
        counts=counts,
        oldest_waiting_seconds=max((seconds for *_, seconds in unfinished), default=0.0),
    )


def _due() -> list[int]:
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"wait": stored_work.shortest_wait(), "limit": SWEPT_AT_ONCE}
        cursor.execute(_DUE, parameters)
        return [row[0] for row in cursor.fetchall()]


def _publish(
    inbox_id: int, event_type: str, value: Any, headers: Any, countdown: float | None = None
) -> None:
    link = {INBOX_ID_HEADER: str(inbox_id)}
    enqueue(TASKS[event_type], value, headers, countdown=countdown, headers=link)
