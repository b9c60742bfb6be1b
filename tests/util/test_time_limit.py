"""The soft time limit of tasks (08 §6.3; fault 11)."""

import os
import signal
import socket
import threading

import boto3
import pytest
from billiard.pool import soft_timeout_sighandler
from botocore.config import Config
from celery.exceptions import SoftTimeLimitExceeded

from cloudigrade import celery_app
from util.tasks import RetryPolicy, task
from util.time_limit import SIGNAL, TimeLimitReached, obeys_time_limit


@obeys_time_limit
def catch_everything():
    try:
        os.kill(os.getpid(), SIGNAL)
    except Exception:
        return "swallowed"
    return "not reached"


@pytest.mark.usefixtures("reach_time_limit")
def test_a_task_that_catches_everything_still_ends():
    for _ in range(2):
        with pytest.raises(SoftTimeLimitExceeded):
            catch_everything()
        assert signal.getsignal(SIGNAL) is soft_timeout_sighandler


@pytest.mark.usefixtures("reach_time_limit")
def test_a_task_within_its_limit():
    assert obeys_time_limit(lambda number: number + 1)(1) == 2
    assert signal.getsignal(SIGNAL) is soft_timeout_sighandler
    with pytest.raises(ZeroDivisionError):
        obeys_time_limit(lambda: 1 / 0)()
    assert signal.getsignal(SIGNAL) is soft_timeout_sighandler


def test_nothing_changes_outside_of_the_prefork_pool():
    seen = []
    before = signal.signal(SIGNAL, lambda *_: seen.append(1))
    try:
        assert catch_everything() == "not reached"
        assert seen == [1]
    finally:
        signal.signal(SIGNAL, before)


def test_a_call_of_aws_is_not_repeated_when_time_is_up(reach_time_limit):
    """botocore repeats a call that ended in any exception: it takes it for a broken connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        calls = []

        def accept():
            while True:
                try:
                    calls.append(silent.accept()[0])
                except OSError:
                    return
                calls[-1].recv(1)
                reach_time_limit()

        threading.Thread(target=accept, daemon=True).start()
        sqs = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 3, "mode": "standard"}, read_timeout=60),
        )
        with pytest.raises(SoftTimeLimitExceeded):
            obeys_time_limit(sqs.list_queues)()
        assert len(calls) == 1
    for call in calls:
        call.close()


def test_a_policy_may_repeat_a_task_that_took_too_long(reach_time_limit):
    runs = []

    @task("tests.too_long", retry=RetryPolicy((SoftTimeLimitExceeded,), max_retries=1))
    def too_long():
        runs.append(1)
        reach_time_limit()

    try:
        result = celery_app.tasks["tests.too_long"].apply()
        assert len(runs) == 2
        assert isinstance(result.result, SoftTimeLimitExceeded)
    finally:
        celery_app.tasks.unregister("tests.too_long")


def test_celery_checks_the_arguments_of_a_call():
    @task("tests.arguments")
    def arguments(first, second=1):
        return first, second

    try:
        with pytest.raises(TypeError):
            celery_app.tasks["tests.arguments"].apply_async(args=[1, 2, 3])
    finally:
        celery_app.tasks.unregister("tests.arguments")


def test_nothing_that_catches_exceptions_catches_the_limit():
    assert not issubclass(TimeLimitReached, Exception)
