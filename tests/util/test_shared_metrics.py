"""Counters of all processes in one place (02 §12.5)."""

import os

import pytest
import redis as redis_py

from util import metrics, redis, shared_metrics
from util.metrics import counter, exposition, histogram
from util.shared_metrics import Publisher, SharedMetrics

DONE = counter("shared_probe_done", "Done.", ("kind",))
SECONDS = histogram("shared_probe_seconds", "Duration.")


@pytest.fixture
def publisher(redis_client) -> Publisher:
    """A process that has published whatever was counted until now."""
    made = Publisher()
    made.forget_parent()
    return made


def _samples(text: str, name: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_each_process_adds_what_it_has_counted(publisher, redis_client):
    other = Publisher()
    other.forget_parent()
    DONE.labels("a").inc(2)
    SECONDS.observe(0.03)
    publisher.publish()
    publisher.publish()
    other.publish()
    DONE.labels("a").inc()
    DONE.labels('"quoted"').inc(0.5)
    publisher.publish()
    text = exposition(SharedMetrics()).decode()
    assert _samples(text, "shared_probe_done_total{") == {
        'shared_probe_done_total{kind="a"}': "5.0",
        'shared_probe_done_total{kind="\\"quoted\\""}': "0.5",
    }
    assert text.count("# TYPE shared_probe_done_total counter") == 1
    assert "# HELP shared_probe_done_total Done." in text
    assert _samples(text, "shared_probe_seconds_count")["shared_probe_seconds_count"] == "2.0"
    limits = [line.split('"')[1] for line in _samples(text, "shared_probe_seconds_bucket")]
    assert limits[-1] == "+Inf"
    assert limits[:-1] == sorted(limits[:-1], key=float)


def test_a_series_begins_with_nothing(publisher):
    """Prometheus sees no increase in a first value: not in that of a rare task's first failure."""
    DONE.labels("rare")
    publisher.publish()
    text = exposition(SharedMetrics()).decode()
    assert _samples(text, 'shared_probe_done_total{kind="rare"')


def test_without_changes_nothing_is_sent(publisher, monkeypatch):
    monkeypatch.setattr(redis, "client", lambda: pytest.fail("Redis was asked"))
    publisher.publish()


def test_without_redis_nothing_is_lost_and_a_process_knows_its_own(publisher, monkeypatch):
    DONE.labels("b").inc(7)
    with monkeypatch.context() as patch:
        away = redis_py.Redis(port=1, socket_connect_timeout=0.1)
        patch.setattr(redis, "client", lambda: away)
        publisher.publish()
        text = exposition(SharedMetrics()).decode()
        own = float(_samples(text, "shared_probe_done_total{")['shared_probe_done_total{kind="b"}'])
        assert own >= 7
    publisher.publish()
    text = exposition(SharedMetrics()).decode()
    assert _samples(text, "shared_probe_done_total{")['shared_probe_done_total{kind="b"}'] == "7.0"


def test_a_forked_process_leaves_to_its_parent_what_that_counted(publisher, redis_client):
    DONE.labels("parent").inc()
    pid = os.fork()
    if pid == 0:
        publisher.forget_parent()
        DONE.labels("child").inc()
        redis._client.cache_clear()
        publisher.publish()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    publisher.publish()
    text = exposition(SharedMetrics()).decode()
    found = _samples(text, "shared_probe_done_total{")
    assert found['shared_probe_done_total{kind="parent"}'] == "1.0"
    assert found['shared_probe_done_total{kind="child"}'] == "1.0"


def test_publishing_waits_a_moment_and_only_once_started(publisher, monkeypatch):
    monkeypatch.setattr(shared_metrics, "DELAY", 0.01)
    DONE.labels("c").inc()
    publisher.publish_soon()
    assert publisher._timer is None
    publisher.start()
    publisher.publish_soon()
    timer = publisher._timer
    publisher.publish_soon()
    assert timer is not None
    timer.join(5)
    assert "shared_probe_done_total" in exposition(SharedMetrics()).decode()


def test_what_others_published_is_shown_without_knowing_it(redis_client, publisher, monkeypatch):
    DONE.labels("d").inc()
    publisher.publish()
    monkeypatch.setattr(metrics, "_own", [])
    [family] = [each for each in SharedMetrics().collect() if each.name == "shared_probe_done"]
    assert (family.type, family.documentation) == ("counter", "Done.")
