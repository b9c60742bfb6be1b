"""Reading, writing and clearing the cache: scenario 26 (spec 02 §7, §14)."""

import pytest

from tests.api.internal.callers import ANYBODY

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["local", "redis"])
def either_cache(request):
    """Tests of the cache hold for Redis and for its stand-in."""
    if request.param == "redis":
        request.getfixturevalue("real_cache")


def test_scenario_26_the_cache_is_read_written_and_cleared(either_cache):
    stored = ANYBODY.post("/internal/cache/a/", {"value": 0, "timeout": 100})
    assert (stored.status_code, stored.content) == (200, b"")
    found = ANYBODY.get("/internal/cache/a/").json()
    assert (found["key"], found["value"]) == ("a", 0)
    assert 98 <= found["timeout"] <= 100
    nothing = ANYBODY.post("/internal/cache/a/", {})
    assert (nothing.status_code, nothing.json()) == (400, ["value field is required"])
    cleared = ANYBODY.post("/internal/clear_cache/")
    assert (cleared.status_code, cleared.content) == (200, b"")
    gone = ANYBODY.get("/internal/cache/a/")
    assert (gone.status_code, gone.json()) == (404, {"detail": "Not found."})


def test_clearing_the_cache_keeps_queues_and_results(real_cache):
    """02 §12.2, README decision 12."""
    real_cache.rpush("test-analyze_log", "task")
    real_cache.set("test-celery-task-meta-1", "result")
    ANYBODY.post("/internal/cache/a/", {"value": 1})
    ANYBODY.post("/internal/clear_cache/")
    assert sorted(real_cache.keys()) == [b"test-analyze_log", b"test-celery-task-meta-1"]


@pytest.mark.parametrize("value", [0, False, "", "text", 1.5, [1, {"a": None}], {"a": []}])
def test_any_value_but_null_can_be_kept(either_cache, value):
    ANYBODY.post("/internal/cache/a/", {"value": value})
    found = ANYBODY.get("/internal/cache/a/").json()
    assert found["value"] == value
    assert found["timeout"] in (59, 60)


@pytest.mark.parametrize(("timeout", "left"), [("100", 100), (99.9, 99), (0, 60), ("", 60)])
def test_timeouts_are_whole_seconds(either_cache, timeout, left):
    ANYBODY.post("/internal/cache/a/", {"value": 1, "timeout": timeout})
    assert left - 1 <= ANYBODY.get("/internal/cache/a/").json()["timeout"] <= left


@pytest.mark.parametrize("timeout", [0.5, -1, "-5", -0.1])
def test_a_timeout_in_the_past_forgets_the_key(either_cache, timeout):
    ANYBODY.post("/internal/cache/a/", {"value": 1})
    assert ANYBODY.post("/internal/cache/a/", {"value": 2, "timeout": timeout}).status_code == 200
    assert ANYBODY.get("/internal/cache/a/").status_code == 404


@pytest.mark.parametrize("timeout", ["potato", [1], {"a": 1}, 10**30, "1" * 5000, 1e300])
def test_timeouts_that_are_none(either_cache, timeout):
    response = ANYBODY.post("/internal/cache/a/", {"value": 1, "timeout": timeout})
    assert (response.status_code, list(response.json())) == (400, ["timeout"])


def test_a_key_can_be_kept_for_ever(real_cache):
    real_cache.set("test-cloudigrade:1:a", "7")
    found = ANYBODY.get("/internal/cache/a/").json()
    assert found == {"key": "a", "value": 7, "timeout": None}
    assert ANYBODY.delete("/internal/cache/a/").status_code == 405
