"""Tasks that kill their process are begun three times, and then no more (decision 43)."""

import subprocess

import pytest
from django.db import connection

from api.models import SetAsideTask
from api.set_aside import release
from cloudigrade import celery_app
from tests.cloudigrade.slow import DEADLY, GREEDY, Diary
from tests.cloudigrade.workers import POOLS, Workers, begins, kill, send
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def workers(redis_client, tmp_path, transactional_db):
    """Workers that work on the database of the tests, and are lost after five seconds."""
    database = connection.settings_dict["NAME"]
    started = Workers(tmp_path, DJANGO_DATABASE_NAME=database, CELERY_LOST_WORKER_SECONDS="5")
    yield started
    started.kill()


@pytest.fixture
def diary(tmp_path):
    return Diary(tmp_path)


def is_set_aside(number=1):
    return wait_for(
        lambda: SetAsideTask.objects.filter(released_at=None).count() == number, seconds=60
    )


def keep_going(workers: Workers, pool: str) -> subprocess.Popen:
    """Start a worker as long as it ends, as a deployment does, until a task is set aside."""
    for _ in range(10):
        worker = workers.start(pool)
        if ends_or_sets_aside(worker):
            return worker
    raise AssertionError(workers.log())


def ends_or_sets_aside(worker: subprocess.Popen) -> bool:
    assert wait_for(lambda: worker.poll() is not None or SetAsideTask.objects.exists(), seconds=120)
    return worker.poll() is None


@pytest.mark.parametrize("task", [DEADLY, GREEDY])
@pytest.mark.parametrize("pool", POOLS)
def test_what_kills_its_process_is_begun_three_times(workers, diary, redis_client, pool, task):
    """In a prefork pool the parent survives; elsewhere the whole worker is lost."""
    result = send(diary, "poison", task)
    worker = keep_going(workers, pool)
    send(diary, "good")
    diary.release("good")
    assert wait_for(lambda: diary.count("end", "good") == 1, seconds=60)
    assert diary.count("begin", "poison") == 3
    assert wait_for(lambda: redis_client.hlen("test-unacked") == 0)
    kept = SetAsideTask.objects.get()
    assert (kept.name, kept.task_id, kept.lost_processes) == (task, result.id, 3)
    assert kept.message["args"] == [str(diary.folder), "poison"]
    with pytest.raises(Exception, match="is set aside"):
        result.get(timeout=20)
    assert worker.poll() is None


def test_what_an_operator_releases_is_begun_again(workers, diary, redis_client):
    result = send(diary, "poison", DEADLY)
    keep_going(workers, "prefork")
    diary.release("poison")
    assert release([SetAsideTask.objects.get()]) == 1
    assert wait_for(lambda: celery_app.AsyncResult(result.id).state == "SUCCESS", seconds=60)
    assert diary.count("begin", "poison") == 4
    assert SetAsideTask.objects.get().released_at is not None
    assert redis_client.keys("test-task-starts-*") == []


def test_what_still_kills_after_it_was_released_is_set_aside_again(workers, diary):
    send(diary, "poison", DEADLY)
    keep_going(workers, "prefork")
    release([SetAsideTask.objects.get()])
    assert begins(diary, "poison", times=6)
    assert is_set_aside()
    assert diary.count("begin", "poison") == 6


def test_repetitions_after_errors_of_its_own_count_no_process(workers, diary):
    """Begun and killed, failed, killed twice more."""
    send(diary, "flaky", DEADLY)
    keep_going(workers, "prefork")
    assert diary.count("begin", "flaky") == 4


def test_a_worker_that_is_asked_to_end_and_killed_in_the_middle_is_no_fault_of_its_task(
    workers, diary, redis_client
):
    """Deployments kill workers whose task takes longer than their pods are given."""
    send(diary, "long")
    for times in range(1, 6):
        worker = workers.start()
        assert begins(diary, "long", times=times)
        worker.terminate()
        assert wait_for(lambda: "0" in starts(redis_client), seconds=30)
        kill(worker)
    workers.start()
    assert begins(diary, "long", times=6)
    diary.release("long")
    assert wait_for(lambda: diary.count("end", "long") == 1, seconds=60)
    assert not SetAsideTask.objects.exists()


def starts(redis_client):
    [key] = redis_client.keys("test-task-starts-*")
    return [value.decode() for value in redis_client.hvals(key)]


def test_while_the_database_is_away_nothing_is_begun_and_nothing_lost(workers, diary):
    send(diary, "poison", DEADLY)
    for _ in range(3):
        # A worker whose database is not there.
        worker = workers.start(DJANGO_DATABASE_PORT="1")
        assert worker.wait(60) != 0
    workers.start(DJANGO_DATABASE_PORT="1")
    assert wait_for(lambda: "Retry in 60s" in workers.log(), seconds=60)
    assert diary.count("begin", "poison") == 3
    assert not SetAsideTask.objects.exists()
