"""What the listener tells of itself, and the small HTTP server that tells it (spec 03 §13)."""

import logging
import threading
import time
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.db import connection
from prometheus_client import Gauge

from api.sources.inbox_metrics import InboxCollector
from util.metrics import CONTENT_TYPE, counter, exposition

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 60
"""How long after its last heartbeat the listener counts as alive."""

MESSAGES = counter(
    "cloudigrade_listener_messages_total",
    "Messages of the sources service, by type and by what the listener did with them.",
    ("event_type", "outcome"),
)
PUBLISH_FAILURES = counter(
    "cloudigrade_listener_publish_failures_total",
    "Times that tasks could not be queued at once.",
)
DATABASE_FAILURES = counter(
    "cloudigrade_listener_database_failures_total",
    "Times that messages could not be stored at once.",
)
LAST_MESSAGE = Gauge(
    "cloudigrade_listener_last_message_timestamp_seconds",
    "When the last message that was stored or skipped had been written to Kafka.",
)
LAG = Gauge(
    "cloudigrade_listener_lag_messages",
    "Messages that Kafka has for us after the last one that was stored or skipped.",
    ("partition",),
)
HEARTBEAT = Gauge(
    "cloudigrade_listener_heartbeat_timestamp_seconds", "When the listener last made a round."
)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Leave requests of probes and Prometheus out of the log."""


def serve_metrics(port: int) -> int:
    """Serve ``/metrics`` and ``/healthz`` from a thread; returns the port, which 0 leaves open."""
    server = make_server("", port, _answer, server_class=_Server, handler_class=_QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    logger.info("Metrics are served on port %s", server.server_port)
    return server.server_port


def _answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    path = environ.get("PATH_INFO")
    if path == "/metrics":
        try:
            body = exposition(InboxCollector())
        finally:
            connection.close()
        start_response("200 OK", [("Content-Type", CONTENT_TYPE)])
        return [body]
    if path == "/healthz":
        return _answer_health(start_response)
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"Not found\n"]


def _answer_health(start_response: Callable[..., Any]) -> list[bytes]:
    """Say whether the listener still makes its rounds; waiting for a database is one of them."""
    silence = time.time() - _value(HEARTBEAT)
    status = "200 OK" if silence < SILENCE_SECONDS else "503 Service Unavailable"
    start_response(status, [("Content-Type", "text/plain")])
    return [f"last heartbeat {silence:.0f} seconds ago\n".encode()]


def _value(metric: Gauge) -> float:
    return next(iter(metric.collect())).samples[0].value
