"""Claims that one process holds at a time."""

import os
import signal

import pytest
import redis
from django.core.cache import cache

from util import lease
from util.lease import Lease


@pytest.fixture(autouse=True)
def _empty():
    cache.clear()


@pytest.fixture
def killed(monkeypatch):
    """The signals that the process sends to itself."""
    sent = []
    monkeypatch.setattr(lease.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def claim(owner):
    return Lease("tested", 15, owner=owner)


def test_one_at_a_time():
    assert claim("first").renew()
    assert claim("first").renew()
    assert not claim("second").renew()
    claim("second").release()
    assert not claim("second").renew()
    claim("first").release()
    assert claim("second").renew()
    assert 0 < cache.seconds_left("lease-tested") <= 15


def test_the_second_waits_until_the_first_gives_up(caplog):
    first = claim("first")
    assert first.renew()
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            first.release()

    claim("second").wait(sleep)
    assert waits == [5, 5, 5]
    assert caplog.text.count("Another process holds the lease tested") == 1


def test_a_lease_that_was_cleared_is_taken_again(killed):
    first = claim("first")
    assert first.renew()
    cache.clear()
    assert first.check()
    assert killed == []
    assert not claim("second").renew()


def test_who_lost_it_ends(killed):
    assert claim("second").renew()
    assert not claim("first").check()
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_while_the_cache_is_away_the_holder_goes_on_and_others_wait(monkeypatch, killed):
    def away(*arguments):
        raise redis.ConnectionError

    holder = claim("first")
    assert holder.renew()
    monkeypatch.setattr(lease.cache, "add", away)
    assert holder.check()

    def sleep(_seconds):
        monkeypatch.undo()
        holder.release()

    claim("second").wait(sleep)
    assert killed == []
    assert claim("second").renew()
