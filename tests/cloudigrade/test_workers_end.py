"""Workers that end with work in hand, asked to or killed (08 §6.4, DR-1, DR-11)."""

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from tests.cloudigrade.slow import STUBBORN, Diary
from tests.cloudigrade.workers import POOLS, QUEUE, Workers, begins, kill, send
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def workers(redis_client, tmp_path):
    started = Workers(tmp_path)
    yield started
    started.kill()


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path)


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
    """Whoever is silent for ten seconds is lost here; it is five minutes otherwise."""
    soon = {"CELERY_LOST_WORKER_SECONDS": "10"}
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
    """The limit ends a task whose function catches all exceptions (fault 11)."""
    workers.start("prefork")
    for name in ("first", "second"):
        result = send(diary, name, STUBBORN)
        with pytest.raises(SoftTimeLimitExceeded):
            result.get(timeout=60)
        assert diary.count("begin", name) == 1
        assert diary.count("swallow", name) == 0
