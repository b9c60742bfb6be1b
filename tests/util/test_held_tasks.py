"""Messages that workers hold, in a real Redis (08 §6.4); with real workers: test_workers_end.py."""

from types import SimpleNamespace

import pytest
import time_machine

from cloudigrade import celery_app
from util.held_tasks import HeldTasks
from util.tasks import publish

QUEUE = "test-enable_account"
TASK = "api.tasks.enable_account"
LOST_AFTER = 300
LONGEST = 3600


class Worker:
    """A reader of one queue, with messages in its hands."""

    def __init__(self, connection):
        self.channel = connection.channel()
        self.reader = SimpleNamespace(channel=self.channel)
        consumer = SimpleNamespace(task_consumer=self.reader)
        self.held = HeldTasks(consumer, lost_after=LOST_AFTER, longest=LONGEST)

    def take(self):
        message = self.channel.basic_get("enable_account")
        assert message is not None
        return message


@pytest.fixture
def connection(redis_client):
    publish(TASK, args=[1], kwargs={})
    with celery_app.connection_for_read() as connection:
        yield connection


@pytest.fixture
def clock():
    with time_machine.travel(1_700_000_000, tick=False) as traveller:
        yield traveller


def test_what_nobody_speaks_of_is_returned(connection, clock, redis_client):
    lost, other = Worker(connection), Worker(connection)
    lost.take()
    clock.shift(LOST_AFTER - 1)
    other.held.look_after()
    assert redis_client.llen(QUEUE) == 0
    clock.shift(2)
    other.held.look_after()
    assert (redis_client.llen(QUEUE), redis_client.hlen("test-unacked")) == (1, 0)
    assert other.take().properties["delivery_info"]["redelivered"] is True


def test_what_is_held_stays_where_it_is_until_it_takes_too_long(connection, clock, redis_client):
    busy, other = Worker(connection), Worker(connection)
    busy.take()
    for _ in range(LONGEST // 200):
        busy.held.look_after()
        clock.shift(200)
        other.held.look_after()
        assert redis_client.llen(QUEUE) == 0
    for _ in range(2):
        busy.held.look_after()
        clock.shift(200)
    other.held.look_after()
    assert redis_client.llen(QUEUE) == 1


def test_what_is_done_is_not_held_again(connection, clock, redis_client):
    """Its acknowledgement may come between the look and the word."""
    worker = Worker(connection)
    message = worker.take()
    worker.held._since = {message.delivery_tag: 0.0}
    held = worker.held._held
    worker.held._held = lambda: held() or [message.delivery_tag]
    message.ack()
    worker.held.look_after()
    assert redis_client.zcard("test-unacked_index") == 0


def test_a_worker_without_its_broker_holds_nothing(connection):
    worker = Worker(connection)
    worker.take()
    worker.reader.channel = None
    assert worker.held._held() == []


def test_a_redis_that_is_away_is_no_reason_to_stop(connection, monkeypatch, caplog):
    worker = Worker(connection)
    rounds = []

    def look_after():
        rounds.append(None)
        if len(rounds) == 2:
            worker.held.let_go()
        raise ConnectionError("away")

    monkeypatch.setattr(worker.held, "look_after", look_after)
    worker.held._lost_after = 0
    worker.held._keep()
    assert len(rounds) == 2
    assert caplog.text.count("Held tasks are not looked after now") == 2
