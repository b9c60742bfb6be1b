"""How fresh what the clouds tell us is, as metrics (spec 10 §2): no label names an account."""

import logging

from django.core.cache import cache
from redis import RedisError

from api.models import CloudType
from util import clock
from util.metrics import counter, histogram

logger = logging.getLogger(__name__)

SPANS = (60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
"""Limits of the histograms' buckets, in seconds: a cloud needs minutes, an outage takes hours."""

EVENT_AGE = histogram(
    "cloudigrade_ingest_event_age_seconds",
    "age of the oldest new event of a log file or poll when it is stored",
    ("cloud",),
    buckets=SPANS,
)
QUEUE_WAIT = histogram(
    "cloudigrade_ingest_queue_wait_seconds",
    "time for which the notification of a log file waited",
    buckets=SPANS,
)
DESCRIBES = counter(
    "cloudigrade_describe_total",
    "describes of regions and polls of subscriptions",
    ("cloud", "kind", "outcome"),
)

_LAST_INGEST = "ingest_last_at_{}"


def count_describe(cloud: object, kind: object, outcome: object) -> None:
    """Count a describe of a region, or a poll, by how it ended."""
    DESCRIBES.labels(str(cloud), str(kind), str(outcome)).inc()


def note_ingest(cloud: object) -> None:
    """Remember that something of a cloud was processed now: a log file, or a poll."""
    try:
        cache.set(_LAST_INGEST.format(str(cloud)), clock.now().timestamp(), None)
    except RedisError as error:
        logger.warning("The time of the last ingest is not remembered: %s", error)


def last_ingest() -> dict[str, float]:
    """Return when something of each cloud was processed last, as Unix times, as far as is known.

    Raises RedisError.
    """
    names = {_LAST_INGEST.format(cloud): str(cloud) for cloud in CloudType.values}
    return {names[name]: moment for name, moment in cache.get_many(names).items()}
