"""The listener as a process: its end, what it waits for, its heartbeat and metrics (spec 03 §1)."""

import logging
import signal
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import OperationalError

from api.management.commands import listen_to_sources
from api.sources import inbox, listener, listener_metrics
from api.sources.listener import Listener
from tests.api.sources.consumer import Consumer, Message, listen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connection_of_the_test")]


class TestClosing:
    def test_group_is_left(self):
        closed = []
        listener.leave_group(SimpleNamespace(close=lambda: closed.append(True)))
        assert closed

    def test_kafka_that_hangs_is_not_waited_for(self, monkeypatch, caplog):
        monkeypatch.setattr(listener, "LONGEST_CLOSE_SECONDS", 0.05)
        hanging = threading.Event()
        listener.leave_group(SimpleNamespace(close=lambda: hanging.wait(10)))
        hanging.set()
        assert "without a word" in caplog.text


def test_broker_that_hangs_is_given_up_soon(monkeypatch):
    conf = SimpleNamespace(broker_transport_options={"global_keyprefix": "test-"})
    monkeypatch.setattr(listener, "current_app", SimpleNamespace(conf=conf))
    listener.hurry_broker()
    assert conf.task_publish_retry is False
    assert conf.broker_transport_options["socket_timeout"] == listener.BROKER_SECONDS
    assert conf.broker_transport_options["global_keyprefix"] == "test-"


def test_database_that_hangs_is_given_up_soon(monkeypatch):
    """03 §1.4: it counts as away, so that the heart goes on beating; and we end when told to."""
    limits = []
    monkeypatch.setattr(
        listener, "limit_waiting", lambda *args, **more: limits.append((args, more))
    )
    found = Listener(Consumer())
    listener.hurry_database(found)
    (((seconds,), more),) = limits
    assert 2 * seconds < listener_metrics.SILENCE_SECONDS
    assert not more["is_short"]()
    found.stop()
    assert more["is_short"]()
    assert more["short_timeout"] < 2


class TestCommand:
    @pytest.fixture
    def command(self, monkeypatch, settings):
        """The command on a consumer with one message, and a record of what else it does."""
        consumer = Consumer([Message(0)])
        done = []
        monkeypatch.setattr(listen_to_sources, "make_consumer", lambda: consumer)
        monkeypatch.setattr(listen_to_sources, "limit_transactions", lambda _: None)
        monkeypatch.setattr(listen_to_sources, "hurry_broker", lambda: None)
        monkeypatch.setattr(listen_to_sources, "hurry_database", lambda _: None)
        monkeypatch.setattr(listen_to_sources, "serve_metrics", done.append)
        monkeypatch.setattr(listen_to_sources, "leave_group", lambda _: done.append("left"))
        monkeypatch.setattr(listen_to_sources.gc, "freeze", lambda: None)
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        settings.LISTENER_METRICS_PORT = 9000
        yield consumer, done
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal_ends_it_in_good_order(self, command, queued, caplog, number):
        caplog.set_level(logging.INFO, logger="api")
        consumer, done = command
        consumer.listener = SimpleNamespace(stop=lambda: signal.raise_signal(number))
        call_command("listen_to_sources")
        assert consumer.stored == {0: 1}
        assert done == [9000, "left"]
        assert f"Stopping because of {number.name}" in caplog.text

    def test_group_is_left_when_the_loop_dies(self, command):
        consumer, done = command
        consumer.batches = [ZeroDivisionError()]
        with pytest.raises(ZeroDivisionError):
            call_command("listen_to_sources")
        assert done[-1] == "left"


def test_heartbeat(queued, tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "HEARTBEAT_SECONDS", 0.0)
    file = tmp_path / "heartbeat"
    listen([], heartbeat_file=str(file))
    assert time.time() - file.stat().st_mtime < 60
    assert time.time() - listener_metrics._value(listener_metrics.HEARTBEAT) < 60


def test_heartbeat_file_that_can_not_be_written(queued, tmp_path, caplog):
    listen([], heartbeat_file=str(tmp_path / "missing" / "file"))
    assert "heartbeat" in caplog.text


class TestHttp:
    @pytest.fixture
    def base(self, transactional_db):
        return f"http://127.0.0.1:{listener_metrics.serve_metrics(0)}"

    def get(self, url):
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_metrics(self, base, queued):
        listen([Message(0), Message(1, value=b"x"), Message(2, "Source.update")])
        status, text = self.get(f"{base}/metrics")
        assert status == 200
        for line in (
            'cloudigrade_listener_messages_total{event_type="Application.pause",outcome="stored"}',
            'cloudigrade_listener_messages_total{event_type="Application.pause",outcome="malformed"}',
            'cloudigrade_listener_messages_total{event_type="other",outcome="ignored"}',
            'cloudigrade_listener_lag_messages{partition="0"} 97.0',
            "cloudigrade_listener_last_message_timestamp_seconds 1.7e+09",
            'cloudigrade_inbox_messages{state="waiting"} 1.0',
            "cloudigrade_inbox_oldest_waiting_seconds",
            "cloudigrade_outbox_entries 0.0",
            "cloudigrade_outbox_oldest_waiting_seconds 0.0",
        ):
            assert line in text

    def test_metrics_while_the_database_is_away(self, base, monkeypatch):
        def away():
            raise OperationalError

        monkeypatch.setattr(inbox, "statistics", away)
        status, text = self.get(f"{base}/metrics")
        assert status == 200
        assert "cloudigrade_listener_database_failures_total" in text
        assert "cloudigrade_inbox_messages" not in text

    def test_health(self, base):
        listener_metrics.HEARTBEAT.set_to_current_time()
        assert self.get(f"{base}/healthz")[0] == 200
        listener_metrics.HEARTBEAT.set(time.time() - 100)
        assert self.get(f"{base}/healthz")[0] == 503

    def test_other_paths(self, base):
        assert self.get(f"{base}/")[0] == 404
