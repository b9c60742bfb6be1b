"""Workers and beats whose clocks are five minutes off lose and double nothing (decision 41)."""

import pytest

from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from tests.cloudigrade.slow import Diary
from tests.cloudigrade.workers import Workers, begins, kill, send
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

FIVE_MINUTES = 300


@pytest.fixture
def workers(redis_client, tmp_path):
    started = Workers(tmp_path)
    yield started
    started.kill()


def test_workers_with_different_clocks_keep_their_tasks_and_take_those_of_a_lost_one(
    workers, tmp_path, redis_client
):
    """Each is taken for lost if it is silent for ten seconds; five minutes are much more."""
    diary = Diary(tmp_path)
    soon = {"CELERY_LOST_WORKER_SECONDS": "10"}
    started = {}
    for name, off_by in {"slow": -FIVE_MINUTES, "fast": FIVE_MINUTES, "right": 0}.items():
        worker = workers.start(off_by=off_by, **soon)
        send(diary, name)
        assert begins(diary, name)
        started[name] = worker

    def looked_after() -> bool:
        """Return whether all of them have looked after their tasks several times."""
        seen = redis_client.hgetall("test-held-tasks")
        told.update(seen.values())
        return len(told) > 5 * len(started)

    told = set()
    assert wait_for(looked_after, seconds=120)
    assert all(diary.count("begin", name) == 1 for name in started)
    for name in ("slow", "fast"):
        kill(started[name])
        diary.release(name)
    diary.release("right")
    assert wait_for(lambda: diary.count("end", "fast") == 1, seconds=60)
    assert wait_for(lambda: diary.count("end", "slow") == 1, seconds=60)
    assert [diary.count("begin", name) for name in started] == [2, 2, 1]


def logged(process: ManagedProcess, *words: str) -> int:
    """Count the lines of a process that contain all words."""
    lines = process.log_file.read_text().splitlines()
    return sum(all(word in line for word in words) for line in lines)


@pytest.mark.parametrize("beat_is_off_by", [-FIVE_MINUTES, FIVE_MINUTES])
def test_periodic_tasks_run_whatever_the_clocks_of_beat_and_worker(tmp_path, beat_is_off_by):
    """Issue 14, 20: messages of a beat that was 31 seconds behind expired before they were run."""
    with LocalServices(["postgres", "valkey"], environment={}, scratch_parent=tmp_path) as services:
        settings = {"SWEEP_INBOX_SCHEDULE": "2", "RECALCULATE_STALE_USAGE_SCHEDULE": "2"}
        product = Product(services, settings=settings)
        product.manage("migrate", "--no-input")

        def start(name: str, off_by: int) -> ManagedProcess:
            [command] = [part.command for part in product._parts() if part.name == name]
            process = ManagedProcess(
                name=name,
                command=("python", "-m", "tests.cloudigrade.shifted", str(off_by), *command[1:]),
                log_file=tmp_path / f"{name}.log",
                watchdog=services.surroundings.watchdog,
                environment=product.environment,
                directory=REPOSITORY,
            )
            process.start()
            return process

        beat = start("beat", beat_is_off_by)
        worker = start("worker", -beat_is_off_by)
        try:
            for name in ("sweep_inbox", "recalculate_stale_usage"):
                done = (f"Task api.tasks.{name}", "succeeded")
                assert wait_for(lambda done=done: logged(worker, *done) > 3, seconds=120)
            assert not worker.has_logged("Discarding revoked task")
            received = logged(worker, "Task api.tasks.sweep_inbox", "received")
            assert received <= logged(beat, "Sending due task sweep_inbox")
        finally:
            beat.stop()
            worker.stop()
