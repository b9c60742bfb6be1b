"""Signs of life (spec 12 §3). With real processes: tests/deployment/test_doctor.py."""

import pytest
from redis import ConnectionError as RedisConnectionError

from tests.deployment.processes import wait_for
from util import heartbeat
from util.heartbeat import KEPT_SECONDS, Heartbeat, seconds_of_silence

pytestmark = pytest.mark.services
KEY = "test-heartbeat-probe"


def test_who_never_beat_was_never_heard_of(redis_client):
    assert seconds_of_silence("probe") is None


def test_silence_goes_by_the_clock_of_redis(redis_client):
    Heartbeat("probe").tell()
    assert 0 <= seconds_of_silence("probe") < 60
    redis_client.expire(KEY, KEPT_SECONDS - 200)
    assert 200 <= seconds_of_silence("probe") < 260


def test_a_thread_tells_as_long_as_the_process_goes_on(redis_client, monkeypatch):
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.01)
    beating = Heartbeat("probe")
    beating.start()
    assert seconds_of_silence("probe") is None
    for _ in range(2):
        beating.beat()
        assert wait_for(lambda: redis_client.exists(KEY))
        redis_client.delete(KEY)


def test_a_redis_that_is_away_is_told_the_next_time(redis_client, monkeypatch):
    def away():
        raise RedisConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(heartbeat.redis, "client", away)
        Heartbeat("probe").tell()
    assert seconds_of_silence("probe") is None
