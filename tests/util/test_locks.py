"""Locks (08 §6.5, §12.3)."""

import datetime

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection, transaction
from redis import RedisError
from redis.lock import Lock

from tests.threads import in_threads
from util.cache import LocalCache
from util.locks import LeaderRun, advisory_key, lock, run_once, try_locks


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


def test_keys_are_64_bit_and_differ_by_namespace_and_id():
    keys = {advisory_key(name, number) for name in ("user", "account") for number in range(100)}
    assert len(keys) == 200
    assert all(-(2**63) <= key < 2**63 for key in keys)


@pytest.mark.django_db(transaction=True)
def test_a_lock_needs_a_transaction():
    with pytest.raises(RuntimeError):
        lock("user", 1)
    with pytest.raises(RuntimeError):
        try_locks("user", [1])


def in_another_session(function):
    """Run a function in a transaction of another database session; return its result."""
    (result,) = in_threads(transaction.atomic(function))
    return result


@pytest.mark.django_db(transaction=True)
def test_a_lock_is_held_until_the_transaction_ends():
    with transaction.atomic():
        lock("user", 1, 2)
        assert not in_another_session(lambda: try_locks("user", [1]))
        assert not in_another_session(lambda: try_locks("user", [2]))
        assert in_another_session(lambda: try_locks("user", [3]))
        assert in_another_session(lambda: try_locks("account", [1]))
    assert in_another_session(lambda: try_locks("user", [1]))


@pytest.mark.django_db(transaction=True)
def test_locks_are_taken_in_one_order_in_one_statement(django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(1):
        lock("user", *range(1000))
    with transaction.atomic(), connection.cursor() as cursor:
        lock("user", 5, 3, 4)
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (3,)
    with transaction.atomic(), django_assert_num_queries(0):
        lock("user")


def test_a_periodic_task_flies_alone(redis_client):
    with run_once("analyze_log", 60) as first:
        assert 0 < redis_client.ttl("test-lock-single-flight-analyze_log") <= 60
        with run_once("analyze_log", 60) as second:
            assert (first, second) == (True, False)
        with run_once("another", 60) as other:
            assert other
        with run_once("analyze_log", 60) as still:
            assert not still
    with run_once("analyze_log", 60) as again:
        assert again


def test_a_failed_flight_gives_way(redis_client):
    with pytest.raises(ZeroDivisionError), run_once("analyze_log", 60):
        1 / 0  # noqa: B018
    with run_once("analyze_log", 60) as again:
        assert again


def test_a_flight_that_outlived_its_claim_does_not_end_another_s(redis_client, caplog):
    first = run_once("analyze_log", 60)
    assert first.__enter__()
    redis_client.delete("test-lock-single-flight-analyze_log")
    second = run_once("analyze_log", 60)
    assert second.__enter__()
    first.__exit__(None, None, None)
    assert "had run out before its work was done" in caplog.text
    with run_once("analyze_log", 60) as third:
        assert not third


@pytest.mark.parametrize("minutes", [-5, 5])
def test_clocks_of_processes_do_not_matter(redis_client, minutes):
    """Decision 41."""
    with (
        run_once("analyze_log", 60),
        time_machine.travel(datetime.timedelta(minutes=minutes)),
        run_once("analyze_log", 60) as other,
    ):
        assert not other


def test_clearing_the_cache_takes_a_lock_from_nobody(redis_client, settings):
    settings.CACHES = {"default": {"BACKEND": "util.cache.RedisCache", "LOCATION": "redis://"}}
    with run_once("analyze_log", 60):
        cache.clear()
        with run_once("analyze_log", 60) as other:
            assert not other


def test_without_redis_a_periodic_task_runs(redis_client, monkeypatch, caplog):
    def fail(*_args, **_options):
        raise RedisError

    with monkeypatch.context() as away:
        away.setattr(Lock, "acquire", fail)
        with run_once("analyze_log", 60) as first:
            assert first
    monkeypatch.setattr(Lock, "do_release", fail)
    with run_once("analyze_log", 60) as second:
        assert second
    assert "ends by itself" in caplog.text


def test_a_leader_runs_once():
    """08 §26.20."""
    run = LeaderRun("sync-bucket-lifecycle")
    with time_machine.travel("2026-05-04T00:00:00Z", tick=False) as clock:
        assert run.running_since() is None
        with run.lead() as wanted:
            assert wanted
            assert run.running_since() == datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)
            with LeaderRun("sync-bucket-lifecycle").lead() as second:
                assert not second
        assert run.running_since() is None
        assert run.completed_at() == datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC)
        clock.shift(10)
        with run.lead() as soon:
            assert not soon
        clock.shift(291)
        with run.lead() as later:
            assert later


def test_the_names_of_a_leader_s_keys_are_a_contract():
    with LeaderRun("sync-bucket-lifecycle").lead():
        assert cache.get("cloudigrade-test-leader--sync-bucket-lifecycle-running")
    assert cache.get("cloudigrade-test-leader--sync-bucket-lifecycle-completed")


def test_a_leader_that_fails_has_not_completed():
    run = LeaderRun("feature")
    with pytest.raises(ZeroDivisionError), run.lead():
        1 / 0  # noqa: B018
    assert (run.running_since(), run.completed_at()) == (None, None)


def test_a_leader_s_claim_runs_out():
    run = LeaderRun("feature", running_ttl=5, completed_ttl=7)
    with time_machine.travel(0, tick=False) as clock:
        leading = run.lead()
        leading.__enter__()
        slept = []

        def sleep(seconds):
            slept.append(seconds)
            clock.shift(seconds)

        run.wait(sleep)
        assert slept == [1] * 5
        with run.lead() as second:
            assert second
            leading.__exit__(None, None, None)
            assert run.running_since()
        clock.shift(8)
        assert run.completed_at() is None


def test_a_leader_run_can_be_reset():
    run = LeaderRun("feature")
    with run.lead():
        pass
    run.reset()
    assert run.completed_at() is None
    with run.lead() as wanted:
        assert wanted


def test_work_done_between_look_and_claim_is_not_repeated(monkeypatch):
    run, other = LeaderRun("feature"), LeaderRun("feature")
    add = LocalCache.add

    def add_late(*args):
        monkeypatch.setattr(LocalCache, "add", add)
        with other.lead():
            pass
        return add(*args)

    monkeypatch.setattr(LocalCache, "add", add_late)
    with run.lead() as wanted:
        assert not wanted
