"""Messages that workers hold, in a real Redis (08 §6.4); with real workers: test_workers_end.py."""

import datetime
import time
from types import SimpleNamespace

import pytest
import time_machine

from cloudigrade import celery_app
from util import visibility_renewal
from util.tasks import publish
from util.visibility_renewal import VisibilityRenewal

QUEUE = "test-enable_account"
SEEN = "test-held-tasks"
TASK = "api.tasks.enable_account"
LOST_AFTER = 300
LONGEST = 3600


class Worker:
    """A reader of one queue, with messages in its hands."""

    def __init__(self, connection):
        self.channel = connection.channel()
        self.reader = SimpleNamespace(channel=self.channel)
        consumer = SimpleNamespace(task_consumer=self.reader)
        self.held = VisibilityRenewal(consumer, lost_after=LOST_AFTER, longest=LONGEST)

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
def let_pass(redis_client, monkeypatch):
    """Let seconds pass for Redis and for the workers."""
    passed = []
    monotonic = time.monotonic
    monkeypatch.setattr(visibility_renewal.time, "monotonic", lambda: monotonic() + sum(passed))

    def let_pass(seconds):
        passed.append(seconds)
        for tag, seen in redis_client.hgetall(SEEN).items():
            score, since = seen.split()
            redis_client.hset(SEEN, tag, b"%s %.3f" % (score, float(since) - seconds))

    return let_pass


def test_what_nobody_speaks_of_is_returned(connection, let_pass, redis_client):
    lost, other = Worker(connection), Worker(connection)
    lost.take()
    other.held.run_once()
    let_pass(LOST_AFTER - 10)
    other.held.run_once()
    assert redis_client.llen(QUEUE) == 0
    let_pass(20)
    other.held.run_once()
    assert (redis_client.llen(QUEUE), redis_client.hlen("test-unacked")) == (1, 0)
    assert other.take().properties["delivery_info"]["redelivered"] is True
    other.held.run_once()
    assert redis_client.llen(QUEUE) == 0


def test_what_is_held_stays_where_it_is_until_it_takes_too_long(connection, let_pass, redis_client):
    busy, other = Worker(connection), Worker(connection)
    busy.take()
    for _ in range(LONGEST // 200):
        busy.held.run_once()
        let_pass(200)
        other.held.run_once()
        assert redis_client.llen(QUEUE) == 0
    for _ in range(3):
        busy.held.run_once()
        let_pass(200)
    other.held.run_once()
    assert redis_client.llen(QUEUE) == 1


@pytest.mark.parametrize("busy_is_off_by", [-300, 300])
@pytest.mark.parametrize("other_is_off_by", [-300, 300])
def test_clocks_of_workers_do_not_matter(
    connection, let_pass, redis_client, busy_is_off_by, other_is_off_by
):
    """Decision 41: a busy worker keeps its tasks, and those of a lost one are taken."""
    off_busy = datetime.timedelta(seconds=busy_is_off_by)
    off_other = datetime.timedelta(seconds=other_is_off_by)
    busy, other = Worker(connection), Worker(connection)
    with time_machine.travel(off_busy):
        busy.take()
    for _ in range(5):
        with time_machine.travel(off_other):
            other.held.run_once()
        assert redis_client.llen(QUEUE) == 0
        let_pass(LOST_AFTER - 100)
        with time_machine.travel(off_busy):
            busy.held.run_once()
    for _ in range(2):
        with time_machine.travel(off_other):
            other.held.run_once()
        let_pass(LOST_AFTER + 1)
    with time_machine.travel(off_other):
        other.held.run_once()
    assert redis_client.llen(QUEUE) == 1


def test_what_is_done_is_forgotten(connection, let_pass, redis_client):
    worker = Worker(connection)
    message = worker.take()
    worker.held.run_once()
    assert redis_client.hlen(SEEN) == 1
    message.ack()
    worker.held.run_once()
    assert not redis_client.exists(SEEN)


def test_what_is_done_is_not_held_again(connection, redis_client):
    """Its acknowledgement may come between the look and the word."""
    worker = Worker(connection)
    message = worker.take()
    worker.held._since = {message.delivery_tag: 0.0}
    held = worker.held._held
    worker.held._held = lambda: held() or [message.delivery_tag]
    message.ack()
    worker.held.run_once()
    assert redis_client.zcard("test-unacked_index") == 0


def test_a_worker_without_its_broker_holds_nothing(connection):
    worker = Worker(connection)
    worker.take()
    worker.reader.channel = None
    assert worker.held._held() == []


def test_a_redis_that_is_away_is_no_reason_to_stop(connection, monkeypatch, caplog):
    worker = Worker(connection)
    rounds = []

    def run_once():
        rounds.append(None)
        if len(rounds) == 2:
            worker.held.stop()
        raise ConnectionError("away")

    monkeypatch.setattr(worker.held, "run_once", run_once)
    worker.held._lost_after = 0
    worker.held._keep()
    assert len(rounds) == 2
    assert caplog.text.count("Held tasks are not looked after now") == 2
