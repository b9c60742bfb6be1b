"""How the inbox is doing, for Prometheus (spec 03 §13.2)."""

import logging
from collections.abc import Iterable

from django.db import DatabaseError
from prometheus_client.core import GaugeMetricFamily, Metric

from api import outbox
from api.sources import inbox

logger = logging.getLogger(__name__)


class InboxCollector:
    """Counts the inbox whenever metrics are asked for."""

    def collect(self) -> Iterable[Metric]:
        """Return the number of unfinished and dead messages by state, and the longest wait.

        The same of outbox entries. Nothing of it while the database is away.
        """
        try:
            found = inbox.statistics()
            found_entries = outbox.statistics()
        except DatabaseError as error:
            logger.warning("The inbox is not counted: %s", error)
            return
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
        yield GaugeMetricFamily(
            "cloudigrade_outbox_entries",
            "Statuses to be told and trails to be deleted, which nothing else would repeat.",
            value=found_entries.open,
        )
        yield GaugeMetricFamily(
            "cloudigrade_outbox_oldest_waiting_seconds",
            "How long the oldest of them has waited.",
            value=found_entries.oldest_waiting_seconds,
        )
