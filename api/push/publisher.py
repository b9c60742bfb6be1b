"""Send what waits in the outbox to Kafka (spec 14 §5.1).

Kafka being away costs nothing but time: the entries wait, and are sent once it is back.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from api.models import Topic
from api.push import messages, outbox, swatch
from api.push.claims import Claim, Outgoing, take
from util.kafka import KafkaProducerError, publish_all
from util.metrics import counter

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 30
_PAUSED = "usage-push-paused"

SECONDS = 30
"""After which a run leaves what is left to the next one."""

SENT = counter(
    "cloudigrade_push_sent_total", "Messages of changed usage that the broker has.", ("topic",)
)


@dataclass(frozen=True)
class _Stream:
    """How the entries of one topic become messages, and what is noted when they were sent."""

    name: Callable[[], str]
    headers: Sequence[tuple[str, str]]
    prepare: Callable[[Sequence[Claim]], Sequence[Outgoing]]
    acknowledge: Callable[[Iterable[Any], Iterable[Any]], None]
    entries_at_once: int


_STREAMS = {
    Topic.USAGE: _Stream(
        name=lambda: settings.KAFKA_USAGE_TOPIC,
        headers=[("content-type", messages.CONTENT_TYPE)],
        prepare=messages.prepare,
        acknowledge=messages.acknowledge,
        entries_at_once=1000,
    ),
    Topic.SWATCH: _Stream(
        name=lambda: settings.KAFKA_SWATCH_TOPIC,
        headers=[("content-type", "application/json")],
        prepare=swatch.prepare,
        acknowledge=swatch.acknowledge,
        entries_at_once=50,
    ),
}


def publish_unless_paused() -> int:
    """Send what is due, as ``publish`` does, but not to topics that took nothing a moment ago.

    A worker has better things to do than to wait for a broker that is away, and a topic that does
    not work must not keep another one waiting.
    """
    deadline = time.monotonic() + SECONDS
    sent = 0
    for topic in outbox.topics():
        paused = f"{_PAUSED}-{topic}"
        if cache.get(paused):
            continue
        try:
            sent += _publish(topic, deadline)
        except KafkaProducerError as error:
            cache.set(paused, True, PAUSE_SECONDS)
            logger.error("Changed usage waits in the outbox: %s", error)
    return sent


def publish(*, seconds: float = SECONDS) -> int:
    """Send what is due, of all topics that are switched on; return how many messages were sent.

    Begins nothing new after so many seconds. What the broker does not take is tried again half a
    minute later. Raises KafkaProducerError where it took nothing at all of what was sent together.
    """
    deadline = time.monotonic() + seconds
    return sum(_publish(topic, deadline) for topic in outbox.topics())


def _publish(topic: str, deadline: float) -> int:
    stream, sent = _STREAMS[Topic(topic)], 0
    while time.monotonic() < deadline:
        with transaction.atomic():
            claims = take(topic, limit=stream.entries_at_once)
            outgoing = stream.prepare(claims) if claims else []
        if not claims:
            break
        sent += _send(topic, stream, outgoing)
    if sent:
        logger.info("Sent %s messages to %s", sent, stream.name())
    return sent


def _send(topic: str, stream: _Stream, outgoing: Sequence[Outgoing]) -> int:
    if not outgoing:
        return 0
    errors = publish_all(
        stream.name(), [(one.key, one.value) for one in outgoing], headers=stream.headers
    )
    delivered = [one for one, error in zip(outgoing, errors, strict=True) if error is None]
    lost = [one for one, error in zip(outgoing, errors, strict=True) if error is not None]
    with transaction.atomic():
        stream.acknowledge(delivered, lost)
    SENT.labels(topic).inc(len(delivered))
    if lost:
        reasons = "; ".join(sorted({error for error in errors if error is not None}))
        problem = (
            f"{len(lost)} of {len(outgoing)} messages for {stream.name()} were not delivered:"
            f" {reasons}"
        )
        if not delivered:
            raise KafkaProducerError(problem)
        logger.error("%s", problem)
    return len(delivered)
