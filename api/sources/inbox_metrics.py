"""How the inbox is doing, for Prometheus (spec 03 §13.2)."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from api.sources import inbox


class InboxCollector:
    """Counts the inbox whenever metrics are asked for."""

    def collect(self) -> Iterable[Metric]:
        """Return the number of unfinished and dead messages by state, and the longest wait."""
        found = inbox.statistics()
        messages = GaugeMetricFamily(
            "cloudigrade_inbox_messages", "Unfinished and dead messages.", labels=["state"]
        )
        for state, count in found.counts.items():
            messages.add_metric([state], count)
        yield messages
        yield GaugeMetricFamily(
            "cloudigrade_inbox_oldest_waiting_seconds",
            "How long the oldest unfinished message has waited.",
            value=found.oldest_waiting_seconds,
        )
