"""The Kafka listener (spec 03 §1)."""

import gc
import logging
import signal
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from api.sources.listener import (
    Listener,
    hurry_broker,
    hurry_database,
    leave_group,
    make_consumer,
)
from api.sources.listener_metrics import serve_metrics
from util.transaction_limits import limit_transactions

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs until it gets SIGTERM or SIGINT."""

    help = "Store messages of the sources service and queue the tasks for them, until stopped."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen; leave the consumer group in any case."""
        if settings.LISTENER_METRICS_PORT:
            serve_metrics(settings.LISTENER_METRICS_PORT)
        limit_transactions("listener")
        hurry_broker()
        consumer = make_consumer()
        listener = Listener(consumer, heartbeat_file=settings.LISTENER_HEARTBEAT_FILE)
        hurry_database(listener)
        listener.heartbeat.start()

        def stop(number: int, frame: FrameType | None) -> None:
            logger.info("Stopping because of %s", signal.Signals(number).name)
            listener.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        logger.info("Listening to %s", settings.LISTENER_TOPIC)
        try:
            listener.run()
        finally:
            leave_group(consumer)
            logger.info("Stopped")
            # Python would search all that is left for garbage before it ends, for a second or two.
            gc.freeze()
