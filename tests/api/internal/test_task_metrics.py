"""What workers tell: events for an exporter, counters for our own page (02 §9; scenario 37)."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from celery.events import EventReceiver

from api.internal import gauges, metrics
from cloudigrade import celery_app
from tests.api.internal.callers import ANYBODY
from util import shared_metrics
from util.tasks import task

FAILING = "tests.internal.t"


@task(FAILING)
def failing() -> None:
    """Raise what scenario 37 has a task raise."""
    raise ValueError("no")


@pytest.fixture
def worker(redis_client, monkeypatch, unlimited_afterwards) -> Iterator[None]:
    """A worker in a thread, which tells what the product's own workers tell."""
    monkeypatch.setattr(shared_metrics, "DELAY", 0.01)
    monkeypatch.setattr(metrics, "_system", gauges.SystemCollector())
    celery_app.conf.task_routes[FAILING] = {}
    with start_worker(celery_app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        yield
    del celery_app.conf.task_routes[FAILING]


class Exporter(EventReceiver):
    """Hears the events, as the exporter of ``cloudigrade-metrics`` does."""

    def __init__(self, connection: Any) -> None:
        self.heard: list[dict[str, Any]] = []
        self.listens = threading.Event()
        super().__init__(connection, {"*": self.heard.append}, app=celery_app)

    def on_consume_ready(self, *_arguments: Any, **_options: Any) -> None:
        self.listens.set()

    def listen(self) -> None:
        for _ in self.consume(limit=None, safety_interval=0.1):
            pass


@pytest.fixture
def events(redis_client) -> Iterator[list[dict[str, Any]]]:
    """The events that arrive from now on."""
    with celery_app.connection_for_read() as connection:
        exporter = Exporter(connection)
        thread = threading.Thread(target=exporter.listen)
        thread.start()
        assert exporter.listens.wait(90)
        yield exporter.heard
        exporter.should_stop = True
        thread.join(90)


def _wait_for(condition: Callable[[], Any]) -> Any:
    for _ in range(1800):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def _sample(line: str) -> str | None:
    page = ANYBODY.get("/internal/metrics").content.decode()
    return next((found for found in page.splitlines() if found.startswith(line)), None)


@pytest.mark.django_db(transaction=True)
def test_scenario_37_a_failed_task_is_told(events, worker):
    task_id = celery_app.send_task(FAILING).id
    failed = _wait_for(
        lambda: [
            each for each in events if each["type"] == "task-failed" and each["uuid"] == task_id
        ]
    )
    assert failed[0]["exception"] == "ValueError('no')"
    assert failed[0]["hostname"]
    told = {each["type"] for each in events if each.get("uuid") == task_id}
    assert {"task-sent", "task-received", "task-started", "task-failed"} <= told
    runs = f'cloudigrade_task_runs_total{{name="{FAILING}",state="FAILURE"}} 1.0'
    _wait_for(lambda: _sample(runs))
    assert _sample(f'cloudigrade_task_seconds_total{{name="{FAILING}"}}')
