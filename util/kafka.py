"""Kafka clients (spec 03 §1.3, spec 08 §5)."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

logger = logging.getLogger(__name__)

DELIVERY_TIMEOUT = 10
BULK_DELIVERY_TIMEOUT = 5
"""Seconds after which the client gives an undelivered message up."""
_POLL = 0.1


def _client() -> Any:
    """Return librdkafka's client, which only processes that talk to Kafka load."""
    return import_module("confluent_kafka")


class KafkaProducerError(Exception):
    """A message could not be delivered."""


def connection_config() -> dict[str, Any]:
    """Return what consumer and producer need to reach the brokers.

    It may hold a password: never log it.
    """
    config = {
        "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "security.protocol": settings.KAFKA_SERVER_SECURITY_PROTOCOL,
        "sasl.mechanism": settings.KAFKA_SERVER_SASL_MECHANISM,
        "sasl.username": settings.KAFKA_SERVER_SASL_USERNAME,
        "sasl.password": settings.KAFKA_SERVER_SASL_PASSWORD,
        "ssl.ca.location": settings.KAFKA_SERVER_CA_LOCATION,
    }
    return {name: value for name, value in config.items() if value}


def consumer_config(group_id: str) -> dict[str, Any]:
    """Return the configuration of a consumer that commits its offsets itself and misses nothing."""
    config = {
        **connection_config(),
        "group.id": group_id,
        "broker.address.family": settings.KAFKA_LISTENER_ADDRESS_FAMILY,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }
    if settings.KAFKA_SESSION_TIMEOUT_MS:
        config["session.timeout.ms"] = settings.KAFKA_SESSION_TIMEOUT_MS
    return config


def producer_config() -> dict[str, Any]:
    """Return the configuration of a producer that hears from the broker of every message."""
    return {
        **connection_config(),
        "acks": "all",
        "delivery.timeout.ms": DELIVERY_TIMEOUT * 1000,
    }


def bulk_producer_config() -> dict[str, Any]:
    """Return the configuration of a producer that sends many messages, each once and in order."""
    return {
        **producer_config(),
        "delivery.timeout.ms": BULK_DELIVERY_TIMEOUT * 1000,
        "enable.idempotence": True,
        "linger.ms": 20,
    }


# One long-lived producer of each kind per process. A forked child makes its own and leaves its
# parent's alone: that one's threads do not exist in the child, and even destroying it would wait
# for them.
_producers: "dict[int, Producer]" = {}
_bulk_producers: "dict[int, Producer]" = {}


def _producer() -> "Producer":
    return _of_process(_producers, producer_config)


def _of_process(
    producers: "dict[int, Producer]", config: Callable[[], dict[str, Any]]
) -> "Producer":
    pid = os.getpid()
    if pid not in producers:
        producers[pid] = _client().Producer(config(), logger=logger)
    return producers[pid]


def publish(
    topic: str,
    *,
    key: str | bytes | None,
    headers: Sequence[tuple[str, str | bytes]],
    value: bytes,
    timeout: float = DELIVERY_TIMEOUT + 1,
) -> None:
    """Send a message and wait until the broker has it.

    Raises KafkaProducerError if that fails or takes longer than ``timeout`` seconds. After a
    timeout shorter than DELIVERY_TIMEOUT the message may be delivered still.
    """
    outcome: list[KafkaError | None] = []

    def delivered(error: "KafkaError | None", _message: "Message") -> None:
        outcome.append(error)

    try:
        producer = _producer()
        producer.produce(topic, value=value, key=key, headers=list(headers), on_delivery=delivered)
    except (_client().KafkaException, BufferError) as error:
        raise KafkaProducerError(f"Kafka refused a message for {topic}: {error}") from error
    deadline = time.monotonic() + timeout
    while not outcome and time.monotonic() < deadline:
        producer.poll(_POLL)
    if not outcome:
        raise KafkaProducerError(f"Kafka did not confirm a message for {topic} in {timeout} s")
    if outcome[0] is not None:
        raise KafkaProducerError(f"Kafka lost a message for {topic}: {outcome[0].str()}")


def publish_all(
    topic: str,
    messages: Sequence[tuple[str, bytes]],
    *,
    headers: Sequence[tuple[str, str | bytes]],
    timeout: float = BULK_DELIVERY_TIMEOUT + 1,
) -> list[str | None]:
    """Send messages, each with its key, and wait until all replicas in sync have them.

    Return for each None, or why it was not delivered within ``timeout`` seconds. The order of
    messages of one key is kept, and the client's own repetitions double none.
    """
    outcomes: list[str | None] = [f"no answer within {timeout:g} s"] * len(messages)
    open_: set[int] = set()

    def on_delivery(number: int) -> "Callable[[KafkaError | None, Message], None]":
        def delivered(error: "KafkaError | None", _message: "Message") -> None:
            outcomes[number] = None if error is None else error.str()
            open_.discard(number)

        return delivered

    deadline = time.monotonic() + timeout
    producer = _of_process(_bulk_producers, bulk_producer_config)
    for number, (key, value) in enumerate(messages):
        open_.add(number)
        try:
            producer.produce(
                topic, value=value, key=key, headers=list(headers), on_delivery=on_delivery(number)
            )
        except (_client().KafkaException, BufferError) as error:
            outcomes[number] = str(error)
            open_.discard(number)
        producer.poll(0)
    while open_ and time.monotonic() < deadline:
        producer.poll(_POLL)
    return outcomes
