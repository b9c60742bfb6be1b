"""Takes the sources service's messages from Kafka into the inbox (spec 03 §1, decision 27).

A message's offset is given to Kafka only after the message was stored or deliberately skipped.
Neither the database nor Redis nor Kafka being away ends the listener or loses its place: it waits
for the database, queues later what it could not queue, and the Kafka client reconnects by itself.
"""

import datetime
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from celery import current_app
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from api.sources import inbox
from api.sources.inbox import Coordinates, Received
from api.sources.listener_metrics import (
    DATABASE_FAILURES,
    HEARTBEAT,
    LAG,
    LAST_MESSAGE,
    MESSAGES,
    PUBLISH_FAILURES,
)
from api.sources.messages import (
    EVENT_TYPE_HEADER,
    TASKS,
    MalformedMessageError,
    bounded_headers,
    checked_tenant,
    decode_body,
    decode_headers,
    first_header,
    kept_body,
    kept_headers,
)
from util.heartbeat import Heartbeat
from util.identity import KAFKA_IDENTITY_HEADER
from util.kafka import consumer_config
from util.postgres import limit_waiting

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
MOST_AT_ONCE = 500
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0
PUBLISH_PAUSE_SECONDS = 5.0
"""How long queueing rests after the broker was away."""

HEARTBEAT_SECONDS = 5.0
LOGGED_BYTES = 2000
COMMIT_INTERVAL_MS = 1000
RECONNECT_MS = 1000
READ_AHEAD_KBYTES = 4096
LONGEST_CLOSE_SECONDS = 1.0
BROKER_SECONDS = 2.0
DATABASE_SECONDS = 10.0
LAST_DATABASE_SECONDS = 1.0
"""How long we wait for the database when we are to stop."""


def make_consumer() -> Consumer:
    """Make a consumer that has joined the listener's group for its topic.

    Kafka is told in the background, at least every second and when the consumer is closed, how far
    the listener has come by ``store_offsets``, and never more than that.
    """
    config = consumer_config(settings.LISTENER_GROUP_ID) | {
        "enable.auto.commit": True,
        "auto.commit.interval.ms": COMMIT_INTERVAL_MS,
        # Each attempt to reach a broker that is away is logged: not twenty times a second.
        "reconnect.backoff.ms": RECONNECT_MS,
        # What the client reads ahead counts against our memory: messages may have a megabyte.
        "queued.max.messages.kbytes": READ_AHEAD_KBYTES,
        "fetch.max.bytes": READ_AHEAD_KBYTES * 1024,
    }
    consumer = Consumer(config, logger=logger)
    consumer.subscribe([settings.LISTENER_TOPIC], on_assign=_log_assignment)
    return consumer


def _log_assignment(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
    numbers = sorted(partition.partition for partition in partitions)
    logger.info("Kafka gives us partitions %s of %s", numbers, settings.LISTENER_TOPIC)


def hurry_broker() -> None:
    """Do not let a Redis that hangs keep messages from being stored: they are queued later."""
    current_app.conf.task_publish_retry = False
    current_app.conf.broker_transport_options = {
        **current_app.conf.broker_transport_options,
        "socket_connect_timeout": BROKER_SECONDS,
        "socket_timeout": BROKER_SECONDS,
    }


def hurry_database(listener: "Listener") -> None:
    """Treat a database that does not answer as unavailable, so that the heartbeat continues."""
    limit_waiting(
        DATABASE_SECONDS,
        is_short=lambda: listener.is_stopped,
        short_timeout=LAST_DATABASE_SECONDS,
    )


def leave_group(consumer: Consumer) -> None:
    """Commit what is to be committed and leave the group; a Kafka that hangs is not waited for.

    Then the group finds out by itself, and some messages come again, which is harmless.
    """
    closing = threading.Thread(target=consumer.close, daemon=True)
    closing.start()
    closing.join(LONGEST_CLOSE_SECONDS)
    if closing.is_alive():
        logger.warning("Kafka does not answer: the group is left without a word")


class Listener:
    """One consumer's way through its messages, until it is told to stop."""

    def __init__(self, consumer: Consumer, *, heartbeat_file: str | None = None) -> None:
        self._consumer = consumer
        self.heartbeat = Heartbeat("listener")
        self._heartbeat_file = Path(heartbeat_file) if heartbeat_file else None
        self._heartbeat_at = 0.0
        self._stopped = False
        # When the tasks of stored messages that have none yet are queued; None: all have theirs.
        self._publish_at: float | None = 0.0

    @property
    def is_stopped(self) -> bool:
        """Return whether the loop is to end."""
        return self._stopped

    def stop(self) -> None:
        """End the loop once the messages in hand are done with."""
        self._stopped = True

    def run(self) -> None:
        """Consume until stopped; the caller closes the consumer."""
        while not self._stopped:
            self._beat()
            if self._publish_at is not None and time.monotonic() >= self._publish_at:
                self._publish(inbox.publish_unqueued)
            messages = self._poll(POLL_SECONDS)
            if messages:
                self._work_on(messages)

    def _poll(self, timeout: float) -> list[Message]:
        """Wait for a message, then take those too that have come along with it."""
        try:
            first = self._consumer.poll(timeout)
            if first is None:
                return []
            messages = [first, *self._consumer.consume(MOST_AT_ONCE - 1, 0)]
        except KafkaException as error:
            logger.warning("Kafka: %s", error)
            return []
        for message in messages:
            if message.error() is not None:
                logger.warning("Kafka: %s", message.error())
        return [message for message in messages if message.error() is None]

    def _work_on(self, messages: list[Message]) -> None:
        """Store messages, tell Kafka, queue their tasks: in this order."""
        stored = self._store_patiently(messages)
        if stored is None:
            return
        self._let_go(messages)
        if self._publish_at is None:
            self._publish(lambda: inbox.publish_new(stored))

    def _store_patiently(self, messages: list[Message]) -> list[tuple[int, Received]] | None:
        """Store messages however long the database is away; None if stopped before it is back.

        The consumer rests meanwhile but stays in its group. What it hands out nevertheless, of
        partitions that it has just been given, joins the messages in hand.
        """
        wanted = _decode_all(messages)
        wait = FIRST_WAIT_SECONDS
        while not self._stopped:
            try:
                stored, rejected = inbox.store(wanted)
            except (DatabaseError, InterfaceError) as error:
                # It is away, or not migrated yet.
                DATABASE_FAILURES.inc()
                logger.warning("%s messages wait for the database: %s", len(wanted), error)
                close_old_connections()
                more = self._rest(wait)
                messages += more
                wanted += _decode_all(more)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
                continue
            if wait > FIRST_WAIT_SECONDS:
                self._consumer.resume(self._consumer.assignment())
            _count(stored, rejected)
            return stored
        return None

    def _rest(self, seconds: float) -> list[Message]:
        """Wait without taking messages, but do not look dead to Kafka nor to whoever watches us."""
        until = time.monotonic() + seconds
        taken: list[Message] = []
        while not self._stopped and (left := until - time.monotonic()) > 0:
            self._beat()
            self._consumer.pause(self._consumer.assignment())
            taken += self._poll(min(left, POLL_SECONDS))
        return taken

    def _let_go(self, messages: list[Message]) -> None:
        """Let Kafka know that these messages are safe."""
        last: dict[tuple[str, int], tuple[Coordinates, Message]] = {}
        for message in messages:
            place = _place(message)
            last[place.topic, place.partition] = (place, message)
        offsets = [
            TopicPartition(place.topic, place.partition, place.offset + 1)
            for place, _ in last.values()
        ]
        try:
            self._consumer.store_offsets(offsets=offsets)
        except KafkaException as error:
            logger.warning("Kafka will send some messages again, which is harmless: %s", error)
        for place, message in last.values():
            self._measure(place, message)

    def _measure(self, place: Coordinates, message: Message) -> None:
        written_at = _written_at(message)
        if written_at is not None:
            LAST_MESSAGE.set(written_at.timestamp())
        partition = TopicPartition(place.topic, place.partition)
        try:
            known = self._consumer.get_watermark_offsets(partition, cached=True)
        except KafkaException:
            return
        if known:
            LAG.labels(str(place.partition)).set(max(known[1] - place.offset - 1, 0))

    def _publish(self, publish: Callable[[], object]) -> None:
        try:
            publish()
        except Exception as error:
            PUBLISH_FAILURES.inc()
            logger.warning("Tasks of stored messages are queued later: %s", error)
            close_old_connections()
            self._publish_at = time.monotonic() + PUBLISH_PAUSE_SECONDS
        else:
            self._publish_at = None

    def _beat(self) -> None:
        if time.monotonic() < self._heartbeat_at:
            return
        self._heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        HEARTBEAT.set_to_current_time()
        self.heartbeat.beat()
        if self._heartbeat_file is not None:
            try:
                self._heartbeat_file.touch()
            except OSError as error:
                logger.warning("The heartbeat file cannot be written: %s", error)


def _decode_all(messages: list[Message]) -> list[Received]:
    return [received for message in messages if (received := _decode(message)) is not None]


def _place(message: Message) -> Coordinates:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Coordinates(topic, partition, offset)


def _written_at(message: Message) -> datetime.datetime | None:
    """Return the time that Kafka has for a message; None for one that no calendar has."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE:
        return None
    try:
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _decode(message: Message) -> Received | None:
    """Decode a message; None, with a line in the log and a count, if it does not concern us.

    Whatever a message is like, those behind it come through.
    """
    place = _place(message)
    event_type = None
    try:
        headers = decode_headers(_headers(message))
        event_type = first_header(headers, EVENT_TYPE_HEADER)
        if event_type is None or event_type not in TASKS:
            _ignore(place, f"event type {_shortened(event_type)} does not concern us", None)
            return None
        if not _is_switched_on():
            _ignore(place, f"{event_type} while data management is off", event_type)
            return None
        return _read(message, place, event_type, headers)
    except MalformedMessageError as error:
        _reject(place, str(error), _excerpt(message), event_type)
    except Exception as error:
        # Such as the client's own, for a header's name that is no UTF-8.
        logger.exception("Message %s cannot be read", place)
        _reject(place, repr(error), "", event_type)
    return None


def _read(
    message: Message, place: Coordinates, event_type: str, headers: list[list[str | None]]
) -> Received:
    """Understand a relevant message. Raises ``MalformedMessageError``."""
    body = message.value()
    value = decode_body(body)
    kept = kept_body(value, len(body or b""))
    if kept is not value:
        logger.warning("Message %s is too large or too deep: only its ids are kept", place)
    return Received(
        place,
        written_at=_written_at(message),
        event_type=event_type,
        tenant=checked_tenant(headers),
        value=kept,
        headers=bounded_headers(headers),
        kept_headers=kept_headers(headers),
    )


def _count(stored: list[tuple[int, Received]], rejected: list[Received]) -> None:
    for _, received in stored:
        MESSAGES.labels(received.event_type, "stored").inc()
    for received in rejected:
        _reject(received.coordinates, "the database cannot hold it", "", received.event_type)


def _is_switched_on() -> bool:
    return (
        settings.SOURCES_ENABLE_DATA_MANAGEMENT
        and settings.SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA
    )


def _ignore(place: Coordinates, reason: str, event_type: str | None) -> None:
    MESSAGES.labels(event_type if event_type in TASKS else "other", "ignored").inc()
    logger.info("Message %s is ignored: %s", place, reason)


def _reject(place: Coordinates, reason: str, excerpt: str, event_type: str | None) -> None:
    MESSAGES.labels(event_type if event_type in TASKS else "other", "malformed").inc()
    logger.error("Message %s is skipped: %s", place, reason)
    if excerpt:
        logger.warning("Message %s was %s", place, excerpt)


def _excerpt(message: Message) -> str:
    """Show what can be shown of a malformed message: not who sent it."""
    headers = [pair for pair in _headers(message) or () if pair[0] != KAFKA_IDENTITY_HEADER]
    return f"{(message.value() or b'')[:LOGGED_BYTES]!r} with headers {_shortened(headers)}"


def _shortened(value: object) -> str:
    return repr(value)[:LOGGED_BYTES]


def _headers(message: Message) -> Sequence[tuple[str, bytes | None]] | None:
    """Return the headers the type that they have in messages that were received."""
    return cast("Sequence[tuple[str, bytes | None]] | None", message.headers())
