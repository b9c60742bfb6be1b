"""Workers that end with work in hand, asked to or killed (08 §6.4, DR-1, DR-11)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from cloudigrade import celery_app
from tests.cloudigrade.programs import ROOT
from tests.cloudigrade.slow import SLOW, STUBBORN, Diary
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CELERY = Path(sys.executable).with_name("celery")
LOCAL = "cloudigrade.settings.local"
QUEUE = "test-celery"
POOLS = {
    "solo": ("--pool", "solo", "--without-gossip", "--without-mingle"),
    "prefork": ("--pool", "prefork", "--concurrency", "1"),
}


class Workers:
    """Worker processes, each in a group of its own, with one log."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self._started: list[subprocess.Popen] = []

    def start(self, pool: str = "solo", **variables: str) -> subprocess.Popen:
        name = f"worker-{len(self._started)}@test"
        with self._log.open("a") as log:
            worker = subprocess.Popen(
                (
                    *(CELERY, "--app", "tests.cloudigrade.slow", "worker", "--loglevel", "info"),
                    *(*POOLS[pool], "--hostname", name, "--queues", "celery"),
                ),
                env={**os.environ, "DJANGO_SETTINGS_MODULE": LOCAL, **variables},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(worker)
        assert wait_for(lambda: f"{name} ready." in self.log(), seconds=90), self.log()
        return worker

    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        for worker in self._started:
            kill(worker)


def kill(worker: subprocess.Popen) -> None:
    """Let a worker and its children end as they do when their machine is lost."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


@pytest.fixture
def workers(redis_client, tmp_path):
    started = Workers(tmp_path)
    yield started
    started.kill()


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path)


def send(diary: Diary, name: str, task: str = SLOW, **options):
    return celery_app.send_task(task, args=[str(diary.folder), name], **options)


def begins(diary: Diary, name: str, times: int = 1) -> bool:
    return wait_for(lambda: diary.count("begin", name) == times, seconds=60)


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_that_is_asked_to_end_finishes_its_task(workers, diary, redis_client, pool):
    worker = workers.start(pool)
    result = send(diary, "first")
    assert begins(diary, "first")
    worker.terminate()
    assert wait_for(lambda: "Warm shutdown" in workers.log())
    send(diary, "second")
    assert worker.poll() is None
    diary.release("first")
    assert worker.wait(60) == 0, workers.log()
    assert result.get(timeout=20) == "first"
    assert diary.count("end", "first") == 1
    assert diary.count("begin", "second") == 0
    assert (redis_client.llen(QUEUE), redis_client.hlen("test-unacked")) == (1, 0)


@pytest.mark.parametrize("pool", POOLS)
def test_what_waits_for_its_time_goes_back_to_the_queue(workers, diary, redis_client, pool):
    worker = workers.start(pool)
    send(diary, "later", countdown=3600)
    assert wait_for(lambda: redis_client.hlen("test-unacked") == 1, seconds=60)
    worker.terminate()
    assert worker.wait(60) == 0, workers.log()
    assert (redis_client.llen(QUEUE), redis_client.hlen("test-unacked")) == (1, 0)


@pytest.mark.parametrize("pool", POOLS)
def test_the_task_of_a_lost_worker_comes_back_and_that_of_a_busy_one_does_not(
    workers, diary, redis_client, pool
):
    """Whoever is silent for three seconds is lost here; it is five minutes otherwise."""
    soon = {"CELERY_LOST_WORKER_SECONDS": "3"}
    workers.start(pool, **soon)
    send(diary, "long")
    assert begins(diary, "long")
    doomed = workers.start(pool, **soon)
    send(diary, "lost")
    assert begins(diary, "lost")
    kill(doomed)
    workers.start(pool, **soon)
    assert begins(diary, "lost", times=2)
    diary.release("lost")
    diary.release("long")
    assert wait_for(lambda: redis_client.hlen("test-unacked") == 0)
    assert diary.count("begin", "long") == diary.count("end", "long") == 1
    assert diary.count("end", "lost") == 1


def test_a_soft_time_limit_is_not_taken_for_another_failure(workers, diary):
    """The limit ends a task whose function catches all exceptions (issue 14, item 11)."""
    workers.start("prefork")
    for name in ("first", "second"):
        result = send(diary, name, STUBBORN)
        with pytest.raises(SoftTimeLimitExceeded):
            result.get(timeout=60)
        assert diary.count("begin", name) == 1
        assert diary.count("swallow", name) == 0
