"""Messages on their way through a real broker (08 §6.1, §6.2, §6.6)."""

import datetime
import json
import logging
import time
import uuid

import pytest
from celery.contrib.testing.worker import start_worker

from cloudigrade import celery_app
from cloudigrade.task_names import ROUTES
from util.request_id import RequestIdFilter, current_request_id, request_context
from util.tasks import publish, task

logger = logging.getLogger(__name__)

PROBE = "tests.worker.probe"
FOLLOWER = "tests.worker.follower"


@task(FOLLOWER)
def follower():
    return current_request_id()


@task(PROBE)
def probe(*arguments):
    logger.info("probing")
    return [current_request_id(), follower.apply_async().id, list(arguments)]


@pytest.fixture
def worker(redis_client, unlimited_afterwards):
    """A worker in a thread, told nothing of queues."""
    celery_app.conf.task_routes.update({PROBE: ROUTES["api.tasks.enable_account"], FOLLOWER: {}})
    with start_worker(celery_app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        yield
    for name in (PROBE, FOLLOWER):
        del celery_app.conf.task_routes[name]


def result_of(task_id):
    return celery_app.AsyncResult(task_id).get(timeout=90)


def send(name, *args, **options):
    return celery_app.send_task(name, args=args, **options).id


def wait_until(condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_scenario_04_a_message_lies_in_the_prefixed_list(redis_client):
    publish("api.clouds.aws.tasks.analyze_log", args=[], kwargs={})
    assert redis_client.llen("test-analyze_log") == 1
    message = json.loads(redis_client.lindex("test-analyze_log", 0))
    assert message["content-type"] == "application/json"
    assert str(uuid.UUID(message["headers"]["request_id"])) == message["headers"]["request_id"]


def test_scenario_13_a_message_carries_the_request_s_id(redis_client):
    with request_context("the-id", "platform"):
        publish("api.tasks.enable_account", args=[1], kwargs={})
    headers = json.loads(redis_client.lindex("test-enable_account", 0))["headers"]
    assert (headers["request_id"], headers["insights_request_id"]) == ("the-id", "platform")


def test_scenario_13_a_task_works_under_the_id_of_its_message(worker, redis_client, caplog):
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(RequestIdFilter())
    with request_context("the-id"):
        task_id = send(PROBE, "argument")
    own, follower_id, arguments = result_of(task_id)
    assert (own, arguments) == ("the-id", ["argument"])
    assert result_of(follower_id) == "the-id"
    [record] = [record for record in caplog.records if record.getMessage() == "probing"]
    assert record.requestid == "the-id"
    second, _, _ = result_of(send(PROBE))
    assert second not in ("the-id", None)
    assert redis_client.exists(f"test-celery-task-meta-{task_id}")


def test_an_eager_task_belongs_to_the_request_that_runs_it():
    with request_context("the-id"):
        assert follower.apply().result == "the-id"
        assert current_request_id() == "the-id"


def test_a_pickled_message_is_dropped_and_what_follows_is_done(worker, redis_client, caplog):
    celery_app.send_task(
        PROBE, args=(datetime.date(2026, 1, 2),), serializer="pickle", queue="enable_account"
    )
    assert result_of(send(PROBE, 7))[2] == [7]
    assert "untrusted content of type pickle" in caplog.text
    assert redis_client.llen("test-enable_account") == 0
    wait_until(lambda: redis_client.hlen("test-unacked") == 0)


def test_queueing_a_task_opens_no_subscription(redis_client):
    send(PROBE)
    assert redis_client.client_list(_type="pubsub") == []


def test_a_message_that_waited_too_long_is_not_done(worker):
    late = send(PROBE, expires=-1)
    result_of(send(PROBE))
    assert celery_app.AsyncResult(late).state == "REVOKED"
