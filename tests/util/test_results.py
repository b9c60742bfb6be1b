"""How large results of tasks may be (decisions 38 and 43)."""

import pytest

from cloudigrade import celery_app
from util import results

pytestmark = pytest.mark.usefixtures("redis_client")


def stored(redis_client, task_id):
    return redis_client.get(f"test-celery-task-meta-{task_id}")


def test_a_result_is_kept_as_it_is(redis_client):
    celery_app.backend.store_result("a", [1, "x" * 1000], "SUCCESS")
    assert celery_app.AsyncResult("a").result == [1, "x" * 1000]


def test_a_result_that_is_too_large_is_left_out(redis_client, caplog):
    celery_app.backend.store_result("a", ["x" * results.LARGEST], "SUCCESS")
    assert len(stored(redis_client, "a")) < 1000
    found = celery_app.AsyncResult("a")
    assert found.state == "SUCCESS"
    assert found.result.startswith("left out: 1000")
    assert "result of task a" in caplog.text


def test_an_error_that_says_too_much_is_shortened(redis_client):
    error = ValueError("y" * results.LARGEST)
    celery_app.backend.store_result("a", error, "FAILURE", traceback="z" * results.LARGEST)
    assert len(stored(redis_client, "a")) < 10_000
    found = celery_app.AsyncResult("a")
    assert (found.state, type(found.result)) == ("FAILURE", ValueError)
    assert str(found.result).count("y") > 1000
