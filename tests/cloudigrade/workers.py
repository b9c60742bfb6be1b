"""Worker processes, for tests that let them end in many ways."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from cloudigrade import celery_app
from tests.cloudigrade.programs import ROOT
from tests.cloudigrade.slow import SLOW, Diary
from tests.deployment.processes import wait_for

LOCAL = "cloudigrade.settings.local"
QUEUE = "test-celery"
POOLS = {
    "solo": ("--pool", "solo", "--without-gossip", "--without-mingle"),
    "prefork": ("--pool", "prefork", "--concurrency", "1"),
}


class Workers:
    """Worker processes, each in a group of its own, with one log and variables for all."""

    def __init__(self, folder: Path, *, queues: str = "celery", **variables: str) -> None:
        self._log, self._queues = folder / "log", queues
        self._variables = variables
        self._started: list[subprocess.Popen] = []

    def start(self, pool: str = "solo", *, off_by: float = 0, **variables: str) -> subprocess.Popen:
        """Start a worker, whose clock is off by some seconds, and wait until it is ready."""
        name = f"worker-{len(self._started)}@test"
        with self._log.open("a") as log:
            worker = subprocess.Popen(
                (
                    *(sys.executable, "-m", "tests.cloudigrade.shifted", str(off_by)),
                    *("--app", "tests.cloudigrade.slow", "worker", "--loglevel", "info"),
                    *(*POOLS[pool], "--hostname", name, "--queues", self._queues),
                ),
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": LOCAL,
                    **self._variables,
                    **variables,
                },
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(worker)
        assert wait_for(lambda: f"{name} ready." in self.log(), seconds=90), self.log()
        return worker

    def log(self) -> str:
        """What all of them have logged."""
        return self._log.read_text()

    def kill(self) -> None:
        """Let all of them end as they do when their machine is lost."""
        for worker in self._started:
            kill(worker)


def kill(worker: subprocess.Popen) -> None:
    """Let a worker and its children end as they do when their machine is lost."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def send(diary: Diary, name: str, task: str = SLOW, **options):
    """Queue a task that lasts until it is released."""
    return celery_app.send_task(task, args=[str(diary.folder), name], **options)


def begins(diary: Diary, name: str, times: int = 1) -> bool:
    """Wait until a task has begun so often; tell whether it has."""
    return wait_for(lambda: diary.count("begin", name) == times, seconds=60)
