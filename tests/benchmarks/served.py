"""The product behind gunicorn as in production, requests to it, and what these cost."""

import http.client
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from deployment.local.ports import LOOPBACK, is_listening
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY, Surroundings
from tests.benchmarks.measure import Cost, cpu_of_family, postmaster_id
from tests.cloudigrade.programs import free_port

WORKERS = 2
SECONDS_TO_START = 60.0
WARM_UP = 10
"""Requests that each worker answers, more or less, before anything is measured."""

_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.prod",
    "CLOUDIGRADE_ENVIRONMENT": "benchmark",
    "DJANGO_SECRET_KEY": "benchmark",
    "DJANGO_ALLOWED_HOSTS": "*",
    "GUNICORN_WORKERS": str(WORKERS),
    **{
        f"AZURE_{name}": "benchmark"
        for name in ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "SP_OBJECT_ID", "SUBSCRIPTION_ID")
    },
}


class Server:
    """gunicorn on the database of this process."""

    def __init__(self, database: str) -> None:
        self._surroundings = Surroundings()
        self.port = free_port()
        self._process = ManagedProcess(
            name="gunicorn",
            command=[
                *(sys.executable, "-m", "gunicorn"),
                *("-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"),
            ],
            log_file=self._surroundings.log_file("gunicorn"),
            watchdog=self._surroundings.watchdog,
            environment={
                **os.environ,
                **_ENVIRONMENT,
                "DJANGO_DATABASE_NAME": database,
                "GUNICORN_BIND": f"{LOOPBACK}:{self.port}",
                "TMPDIR": str(self._surroundings.folder("tmp")),
            },
            directory=REPOSITORY,
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process.start()
        self._process.wait_until(lambda: is_listening(self.port), timeout=SECONDS_TO_START)

    def stop(self) -> None:
        """Stop it and remove its log."""
        self._process.stop()
        self._surroundings.close()

    def cpu(self) -> float:
        """Return the processor time of all its processes, in seconds."""
        assert self._process.pid is not None
        return cpu_of_family(self._process.pid) or 0.0


def send(
    server: Server,
    *paths: str,
    headers: Mapping[str, str],
    requests: int,
    connections: int,
    status: int = 200,
) -> Cost:
    """Send requests over so many connections at once and tell what one of them took on average.

    Each is answered with ``status`` and is a connection of its own, as gunicorn's plain workers
    want it. Where there are several paths, all of them together are one request.
    """
    _send_all(server.port, paths, headers, WARM_UP * WORKERS, connections, status)
    database = postmaster_id()
    db_cpu, cpu = cpu_of_family(database), server.cpu()
    times = sorted(_send_all(server.port, paths, headers, requests, connections, status))
    cost = Cost(wall_s=sum(times), cpu_s=server.cpu() - cpu)
    db_cpu_after = cpu_of_family(database)
    if db_cpu is not None and db_cpu_after is not None:
        cost.db_cpu_s = db_cpu_after - db_cpu
    cost = mean(cost, requests)
    cost.p95_s = times[int(0.95 * len(times))]
    return cost


def mean(cost: Cost, number: int) -> Cost:
    """Share the times of so many requests out among them."""
    return Cost(
        wall_s=cost.wall_s / number,
        cpu_s=cost.cpu_s / number,
        db_cpu_s=None if cost.db_cpu_s is None else cost.db_cpu_s / number,
    )


def _send_all(
    port: int,
    paths: Sequence[str],
    headers: Mapping[str, str],
    requests: int,
    connections: int,
    status: int,
) -> list[float]:
    times: list[float] = []
    failures: list[Exception] = []

    def send_some() -> None:
        try:
            for _ in range(requests // connections):
                times.append(sum(_send(port, path, headers, status) for path in paths))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=send_some) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return times


def _send(port: int, path: str, headers: Mapping[str, str], status: int) -> float:
    started = time.perf_counter()
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status, body[:500]
    finally:
        connection.close()
    return time.perf_counter() - started
