"""Counts the tasks that workers run, and how long they take (spec 02 §9)."""

import time
from typing import Any

from celery import Task, current_app, signals, states
from django.core.signals import request_finished

from util.metrics import counter
from util.shared_metrics import publisher

RUNS = counter(
    "cloudigrade_task_runs", "Tasks that were run, by how they ended.", ("name", "state")
)
SECONDS = counter("cloudigrade_task_seconds", "Time that tasks took.", ("name",))


def count_and_publish() -> None:
    """Count the tasks of this worker, and publish all that it counts.

    Each task's series begin with 0 now: the first failure of a rare task has to be an increase.
    """
    for name in current_app.conf.task_routes:
        for state in (states.SUCCESS, states.FAILURE):
            RUNS.labels(name, state)
    publisher.start()
    signals.task_prerun.connect(_begin)
    signals.task_postrun.connect(_end)
    signals.worker_process_shutdown.connect(_publish)
    signals.worker_shutdown.connect(_publish)


def publish_from_web() -> None:
    """Publish what this web process counts, after the requests in which it does."""
    publisher.start()
    request_finished.connect(_publish_soon)


def _begin(task: Task, **_: Any) -> None:
    task.request.started_at = time.perf_counter()


def _end(task: Task, state: str | None = None, **_: Any) -> None:
    RUNS.labels(task.name, state or "UNKNOWN").inc()
    started_at = task.request.__dict__.pop("started_at", None)
    if started_at is not None:
        SECONDS.labels(task.name).inc(time.perf_counter() - started_at)
    publisher.publish_soon()


def _publish(**_: Any) -> None:
    publisher.publish()


def _publish_soon(**_: Any) -> None:
    publisher.publish_soon()
