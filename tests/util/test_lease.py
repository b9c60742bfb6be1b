"""Claims that one process holds at a time (decision 41: by Redis' clock)."""

import datetime
import os
import signal
import threading

import pytest
import redis
import time_machine

from util import lease
from util.lease import Lease

KEY = "test-lock-lease-tested"


@pytest.fixture
def killed(monkeypatch):
    """The signals that the process sends to itself."""
    sent = []
    monkeypatch.setattr(lease.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.fixture
def first(redis_client):
    return Lease("tested", 15)


@pytest.fixture
def second(redis_client):
    return Lease("tested", 15)


def test_one_at_a_time(first, second, redis_client):
    assert first.renew()
    assert first.renew()
    assert not second.renew()
    second.release()
    assert not second.renew()
    first.release()
    assert second.renew()
    assert 0 < redis_client.ttl(KEY) <= 15


def test_renewing_takes_a_claim_from_nobody(first, second, redis_client):
    """What a holder renews has run out and was taken at any moment before: it is not its own."""
    assert first.renew()
    redis_client.delete(KEY)
    assert second.renew()
    redis_client.pexpire(KEY, 14_000)
    assert not first.renew()
    first.release()
    assert 0 < redis_client.pttl(KEY) <= 14_000
    assert second.renew()
    assert redis_client.pttl(KEY) > 14_000


@pytest.mark.parametrize("minutes", [-5, 5])
def test_clocks_of_processes_do_not_matter(first, second, minutes):
    assert first.renew()
    with time_machine.travel(datetime.timedelta(minutes=minutes)):
        assert not second.renew()
    assert first.renew()


def test_of_many_one_gets_it(redis_client):
    claims = [Lease("tested", 15) for _ in range(8)]
    got = []
    threads = [
        threading.Thread(target=lambda claim=claim: got.append(claim.renew())) for claim in claims
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]


def test_the_second_waits_until_the_first_gives_up(first, second, caplog):
    assert first.renew()
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            first.release()

    second.wait(sleep)
    assert waits == [5, 5, 5]
    assert caplog.text.count("Another process holds the lease tested") == 1


def test_a_lease_that_was_cleared_is_taken_again(first, second, redis_client, killed):
    assert first.renew()
    redis_client.flushdb()
    assert first.check()
    assert killed == []
    assert not second.renew()


def test_who_lost_it_ends(first, second, killed):
    assert second.renew()
    assert not first.check()
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_who_was_halted_asks_before_going_on(first, second, redis_client, killed, monkeypatch):
    assert first.renew()
    monkeypatch.setattr(first, "check", lambda: pytest.fail("asked without a reason"))
    assert first.is_certain()
    monkeypatch.undo()
    redis_client.delete(KEY)
    assert second.renew()
    monkeypatch.setattr(lease.os, "kill", lambda pid, number: killed.append((pid, number)))
    halted_until = lease.time.monotonic() + 15
    monkeypatch.setattr(lease.time, "monotonic", lambda: halted_until)
    assert not first.is_certain()
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_while_redis_is_away_the_holder_goes_on_and_others_wait(
    first, second, monkeypatch, killed, caplog
):
    def away(*arguments, **options):
        raise redis.ConnectionError

    assert first.renew()
    with monkeypatch.context() as outage:
        outage.setattr(redis.Redis, "execute_command", away)
        assert first.check()

        def sleep(_seconds):
            outage.undo()
            first.release()

        second.wait(sleep)
    assert killed == []
    assert second.renew()
    assert "Redis is away" in caplog.text
