"""Counters of all processes in one place, so that whoever is scraped can tell all (spec 02 §12.5).

Workers serve no HTTP. What they count they add, a moment later, to a hash in Redis, from which the
web processes show it. Web processes do the same with what they count themselves: so each of them
tells the same global numbers. Without Redis each process still knows its own.
"""

import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import redis as redis_py
from django.conf import settings
from prometheus_client.core import Metric

from util import metrics, redis

logger = logging.getLogger(__name__)

DELAY = 1.0
"""Seconds for which changes are gathered before they are published."""

Sample = tuple[str, str, str, str]
"""Type, family, name and labels (as JSON) of a number that only grows."""


def _key() -> str:
    return f"{settings.CLOUDIGRADE_ENVIRONMENT}-cloudigrade-metrics"


def _help_key() -> str:
    return f"{_key()}-help"


class Publisher:
    """Adds to the hash what this process has counted since the last time."""

    def __init__(self) -> None:
        self._published: dict[Sample, float] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._started = False

    def start(self) -> None:
        """Have ``publish_soon`` publish, in this process and those forked off it."""
        self._started = True

    def publish_soon(self) -> None:
        """Publish in a moment, together with what is counted until then; only once started."""
        if self._started and self._timer is None:
            self._timer = threading.Timer(DELAY, self.publish)
            self._timer.daemon = True
            self._timer.start()

    def publish(self) -> None:
        """Publish now. A Redis that is away is tried again with the next changes."""
        with self._lock:
            self._timer = None
            counted = dict(_counted())
            # A series begins with 0, since Prometheus sees no increase in a first value.
            changes = {
                sample: value - self._published.get(sample, 0.0)
                for sample, value in counted.items()
                if value != self._published.get(sample)
            }
            if not changes:
                return
            try:
                _add(changes)
            except redis_py.RedisError:
                logger.warning("Redis is not available: metrics are published later")
            else:
                self._published = counted

    def forget_parent(self) -> None:
        """Leave to the parent what it had counted before this process was forked off."""
        self._lock = threading.Lock()
        self._timer = None
        self._published = dict(_counted())


def _counted() -> Iterator[tuple[Sample, float]]:
    for metric in metrics.own_metrics():
        for family in metric.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    labels = json.dumps(sample.labels, sort_keys=True)
                    yield (family.type, family.name, sample.name, labels), sample.value


def _add(changes: dict[Sample, float]) -> None:
    texts = {
        family.name: family.documentation
        for metric in metrics.own_metrics()
        for family in metric.collect()
    }
    pipeline = redis.client().pipeline(transaction=True)
    for sample, change in changes.items():
        pipeline.hincrbyfloat(_key(), json.dumps(sample), change)
    pipeline.hset(_help_key(), mapping={family: texts[family] for _, family, _, _ in changes})
    pipeline.execute()


class SharedMetrics:
    """Everything that all processes have published."""

    def collect(self) -> Iterable[Metric]:
        """Read the hash. Raises RedisError."""
        client = redis.client()
        values: Any = client.hgetall(_key())
        texts: Any = client.hgetall(_help_key())
        families: dict[str, Metric] = {}
        for field, value in sorted(values.items(), key=_order):
            kind, name, sample, labels = json.loads(field)
            text = texts.get(name.encode(), b"").decode()
            family = families.setdefault(name, Metric(name, text, kind))
            family.add_sample(sample, json.loads(labels), float(value))
        return families.values()


def _order(item: tuple[bytes, bytes]) -> tuple[Any, ...]:
    """Put the samples of a family together, and buckets in the order of their limits."""
    kind, name, sample, labels = json.loads(item[0])
    others = json.loads(labels)
    limit = float(others.pop("le", "inf"))
    return kind, name, sorted(others.items()), sample, limit


publisher = Publisher()
os.register_at_fork(after_in_child=publisher.forget_parent)
