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
    """Send what is due, as ``publish`` does, unless the broker failed us a moment ago.

    A worker has better things to do than to wait for a broker that is away.
    """
    if cache.get(_PAUSED):
        return 0
    try:
        return publish()
    except KafkaProducerError as error:
        cache.set(_PAUSED, True, PAUSE_SECONDS)
        logger.error("Changed usage waits in the outbox: %s", error)
        return 0


def publish(*, seconds: float = SECONDS) -> int:
    """Send what is due, of all topics that are switched on; return how many messages were sent.

    Begins nothing new after so many seconds. Raises KafkaProducerError if the broker did not take
    all that was sent to it; what it did not take is tried again half a minute later.
    """
    deadline = time.monotonic() + seconds
    return sum(_publish(topic, deadline) for topic in outbox.topics())


def _publish(topic: str, deadline: float) -> int:
    stream, sent = _STREAMS[topic], 0
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
    failed = {error for error in errors if error is not None}
    if failed:
        raise KafkaProducerError(
            f"{len(lost)} of {len(outgoing)} messages for {stream.name()}"
            f" were not delivered: {'; '.join(sorted(failed))}"
        )
    return len(delivered)
