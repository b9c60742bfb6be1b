"""One measured point for the model of fan-out: real workers, real Celery, tasks that sleep.

``python -m tests.benchmarks.scale.measured``: a quarter of the model's workers, durations and time.
"""

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import django

from cloudigrade.task_names import ONBOARDING_QUEUES
from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from deployment.local.process import ManagedProcess, stop_together
from deployment.local.service import REPOSITORY
from tests.benchmarks.scale.fanout import (
    DAYS,
    HOUR,
    JOINING,
    LOGS,
    Task,
    Waited,
    Workers,
    arrivals,
    percentile,
)

SMALLER = 4
SECONDS = 90.0
WORKERS, OWN = 4, 2
SECONDS_TO_START = 180.0
SECONDS_TO_DRAIN = 300.0
APP = "tests.benchmarks.scale.sleeper"


def tasks() -> list[Task]:
    """Return what is asked for: everyday work, and accounts that join as fast as in the model."""
    return [
        *_arrivals(LOGS, rate=2, duration=2, seed=1),
        *_arrivals(DAYS, rate=1, duration=3, seed=2),
        *_arrivals(JOINING, rate=10_000 / HOUR, duration=6, seed=3),
    ]


def _arrivals(queue: str, *, rate: float, duration: float, seed: int) -> list[Task]:
    return arrivals(
        queue=queue,
        rate=rate,
        until=SECONDS,
        duration=duration / SMALLER,
        customers=10_000,
        seed=seed,
    )


def modelled(*, own: int) -> dict[str, float]:
    """Return the model's waits."""
    if not own:
        return _waits(Workers(WORKERS).run(tasks()))
    joining = [one for one in tasks() if one.queue == JOINING]
    others = [one for one in tasks() if one.queue != JOINING]
    return _waits([*Workers(WORKERS).run(others), *Workers(own).run(joining)])


def _waits(waited: Sequence[Waited]) -> dict[str, float]:
    return {queue: round(percentile(waited, queue), 2) for queue in (LOGS, DAYS, JOINING)}


class Cluster:
    """Workers of the product on a Redis of their own."""

    def __init__(self, services: LocalServices) -> None:
        self._services = services
        self._environment = Product(services).environment
        self._workers: list[ManagedProcess] = []

    def start(self, count: int, *options: str) -> None:
        """Start workers, and wait until they are ready."""
        surroundings = self._services.surroundings
        for _ in range(count):
            name = f"worker-{len(self._workers)}"
            command = ("celery", "--app", APP, "worker", "--loglevel", "info", "--pool", "solo")
            hostname = ("--hostname", f"{name}@measured")
            process = ManagedProcess(
                name=name,
                command=(*command, "--without-gossip", "--without-mingle", *hostname, *options),
                log_file=surroundings.log_file(f"{name}-{time.monotonic_ns()}"),
                watchdog=surroundings.watchdog,
                environment=self._environment,
                directory=REPOSITORY,
            )
            process.start()
            self._workers.append(process)
        for worker in self._workers:
            worker.wait_until(
                lambda worker=worker: worker.has_logged(" ready."),  # type: ignore[misc]
                timeout=SECONDS_TO_START,
            )

    def stop(self) -> None:
        """End all workers."""
        stop_together(self._workers)
        self._workers.clear()

    def run(self) -> dict[str, float]:
        """Queue the tasks when they are due, and return how long they waited."""
        # In a process of its own: settings are read once, when they are first imported.
        alone = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, alone) as processes:
            return processes.submit(_ask_for_all).result()


def _ask_for_all() -> dict[str, float]:
    django.setup()
    sleeper = importlib.import_module(APP)
    store = importlib.import_module("util.redis").client()
    store.delete(sleeper.WAITED)
    asked_for = sorted(tasks())
    begin = time.time()
    for task in asked_for:
        time.sleep(max(0.0, begin + task.at - time.time()))
        arguments = (begin + task.at, task.queue, task.duration)
        sleeper.app.send_task(sleeper.NAME, args=arguments, queue=task.queue)
    deadline = time.monotonic() + SECONDS_TO_DRAIN
    while store.llen(sleeper.WAITED) < len(asked_for):
        if time.monotonic() > deadline:
            raise TimeoutError("the tasks were not done in time")
        time.sleep(0.5)
    lines = [line.decode().split(" ") for line in store.lrange(sleeper.WAITED, 0, -1)]
    return _waits([Waited(Task(0, queue, "", 0), float(wait)) for queue, wait in lines])


def main() -> int:
    """Measure both ways, and print them beside the model's."""
    services = LocalServices(["valkey", "postgres"])
    os.environ.update(services.env)
    os.environ["CLOUDIGRADE_ENVIRONMENT"] = "test"
    os.environ["DJANGO_SETTINGS_MODULE"] = "cloudigrade.settings.test"
    services.start("valkey")
    queues = ",".join(ONBOARDING_QUEUES)
    try:
        for own in (0, OWN):
            cluster = Cluster(services)
            try:
                if own:
                    cluster.start(WORKERS, "--exclude-queues", queues)
                    cluster.start(own, "--queues", queues)
                else:
                    cluster.start(WORKERS)
                print(f"{own} workers of their own: {cluster.run()} measured,", flush=True)
                print(f"    {modelled(own=own)} by the model", flush=True)
            finally:
                cluster.stop()
    finally:
        services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
