"""Prometheus metrics, whole in spite of several processes (spec 02 §9.1, spec 08 §10).

With ``PROMETHEUS_MULTIPROC_DIR`` the processes share their values through that folder, and each of
them can answer for all.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Protocol

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Collector(Protocol):
    """Anything that can say its metrics when it is asked."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""


MOST_SERIES = 500
"""Series of one counter in one process; values of labels may come from outside."""
OTHER = "other"


class BoundedCounter(Counter):
    """A counter that counts what comes after its first 500 series in one series for all others."""

    def labels(self, *labelvalues: Any, **labelkwargs: Any) -> "BoundedCounter":
        """Return the series of these values, or that of all others."""
        values = labelvalues or tuple(labelkwargs.get(name) for name in self._labelnames)
        if len(self._metrics) >= MOST_SERIES and tuple(map(str, values)) not in self._metrics:
            return super().labels(*(OTHER for _ in self._labelnames))
        return super().labels(*labelvalues, **labelkwargs)


_own: list[Counter | Histogram] = []


@cache
def counter(name: str, help: str, labels: tuple[str, ...] = ()) -> Counter:
    """Return the counter of that name, made at the first call."""
    made = BoundedCounter(name, help, labels)
    _own.append(made)
    return made


@cache
def histogram(
    name: str,
    help: str,
    labels: tuple[str, ...] = (),
    buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS,
) -> Histogram:
    """Return the histogram of that name, in seconds, made at the first call.

    ``buckets`` are their limits; by default they end at ten seconds.
    """
    made = Histogram(name, help, labels, buckets=buckets)
    _own.append(made)
    return made


def own_metrics() -> list[Counter | Histogram]:
    """Return what ``counter`` and ``histogram`` have made in this process."""
    return list(_own)


class _Guarded:
    """A collector whose failure costs its own series only."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        try:
            yield from list(self._collector.collect())
        except Exception:
            logger.warning("Metrics of %r are missing", self._collector, exc_info=True)


class _Merged:
    """Collectors one after the other; of two families of one name the later one's counts."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = [_Guarded(collector) for collector in collectors]

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for collector in self._collectors:
            families |= {family.name: family for family in collector.collect()}
        yield from families.values()


def exposition(*collectors: Collector) -> bytes:
    """Return all metrics in Prometheus' text format, with those of the given collectors.

    What a collector tells takes the place of a family of that name that is known here.
    """
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        own = CollectorRegistry()
        MultiProcessCollector(own)
        PlatformCollector(own)
        ProcessCollector(registry=own)
        GCCollector(own)
    else:
        own = REGISTRY
    registry.register(_Merged([own, *collectors]))
    return generate_latest(registry)


def also_on_port(
    application: WSGIApplication, port: int, paths: Mapping[str, str]
) -> WSGIApplication:
    """Return an application that serves, on one more port, nothing but a few of its own paths.

    ``paths`` maps what is asked for on that port to what is answered.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("SERVER_PORT") == str(port):
            # Any path that there is not gets the application's own answer to that.
            target = paths.get(environ.get("PATH_INFO", ""), "/not-on-this-port")
            environ = {**environ, "PATH_INFO": target}
        return application(environ, start_response)

    return serve
