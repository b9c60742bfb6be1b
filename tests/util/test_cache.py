"""The cache (02 §12.2, §12.16; 08 §3, §24.1)."""

import pytest
import redis
from django.conf import settings
from django.core.cache import cache

from util.cache import JSONSerializer, LocalCache, RedisCache, cached


@pytest.fixture
def redis_cache(redis_client):
    return RedisCache(settings.REDIS_URL, {"KEY_PREFIX": "te[s]t-cloudigrade", "TIMEOUT": 60})


def test_keys_have_prefix_and_version_and_values_are_json(redis_cache, redis_client):
    redis_cache.set("key", {"a": [1, None, "ü"]})
    assert redis_client.keys() == [b"te[s]t-cloudigrade:1:key"]
    assert redis_client.get("te[s]t-cloudigrade:1:key") == b'{"a":[1,null,"\\u00fc"]}'
    assert redis_cache.get("key") == {"a": [1, None, "ü"]}
    assert 0 < redis_client.ttl("te[s]t-cloudigrade:1:key") <= 60


@pytest.mark.parametrize("value", [0, False, True, "", "text", 1.5, [], {}])
def test_values_keep_their_type(redis_cache, value):
    redis_cache.set("key", value)
    assert redis_cache.get("key") == value
    assert type(redis_cache.get("key")) is type(value)


def test_numbers_can_be_counted_up(redis_cache):
    redis_cache.set("count", 7)
    assert redis_cache.incr("count", 2) == 9
    assert redis_cache.get_many(["count", "missing"]) == {"count": 9}


def test_what_json_cannot_carry_is_refused(redis_cache):
    with pytest.raises(TypeError):
        redis_cache.set("key", object())


def test_an_older_version_s_pickle_counts_as_nothing():
    assert JSONSerializer().loads(b"\x80\x04\x95pickled") is None


def test_clearing_leaves_tasks_and_results_alone(redis_cache, redis_client):
    """08 §26.25."""
    others = {
        "test-analyze_log": "queued",
        "test-celery-task-meta-1": "result",
        "test-cloudigrade": "a queue of that very name",
        "tet-cloudigrade:1:x": "the prefix is no pattern",
        "te[s]t-cloudigrade2:1:x": "another",
    }
    redis_client.mset(others)
    redis_cache.set_many({f"key-{number}": number for number in range(2500)})
    redis_cache.clear()
    assert {key.decode() for key in redis_client.scan_iter()} == set(others)


@pytest.mark.parametrize("kind", ["redis", "local"])
def test_a_value_is_deleted_only_if_it_is_the_expected_one(kind, request):
    if kind == "redis":
        backend = request.getfixturevalue("redis_cache")
    else:
        backend = LocalCache("test-delete-if", {})
    backend.set("key", "mine")
    assert not backend.delete_if("key", "other")
    assert backend.get("key") == "mine"
    assert backend.delete_if("key", "mine")
    assert not backend.delete_if("key", "mine")


def test_a_claim_is_given_once(redis_cache):
    assert redis_cache.add("claim", "a", 10)
    assert not redis_cache.add("claim", "b", 10)


def test_a_remembered_value_is_computed_once():
    cache.clear()
    answers = [{"a": 1}]
    values = [cached("key", 60, answers.pop) for _ in range(3)]
    assert values == [{"a": 1}] * 3


def test_nothing_is_not_remembered():
    cache.clear()
    answers = [None, "late"]
    assert cached("key", 60, lambda: answers.pop(0)) is None
    assert cached("key", 60, lambda: answers.pop(0)) == "late"


@pytest.mark.parametrize("broken", ["get", "set"])
def test_without_redis_a_value_is_computed(broken, monkeypatch):
    def fail(*_args):
        raise redis.ConnectionError

    cache.clear()
    monkeypatch.setattr(LocalCache, broken, fail)
    assert cached("key", 60, lambda: "value") == "value"
