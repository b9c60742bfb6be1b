"""The listener's loop, with a consumer that hands out what the test says (spec 03 §1)."""

import json
import logging
import signal
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException
from django.core.management import call_command
from django.db import OperationalError, ProgrammingError

from api.management.commands import listen_to_sources
from api.models import InboxMessage
from api.sources import inbox, listener, listener_metrics
from api.sources.listener import Listener
from api.sources.messages import CREATE, DESTROY, PAUSE, TASKS, UNPAUSE, UPDATE
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def connection_of_the_test(monkeypatch):
    """Keep the connection with the transaction that the test runs in."""
    monkeypatch.setattr(listener, "close_old_connections", lambda: None)


class Message:
    def __init__(self, offset, event_type=PAUSE, value=b'{"id": 11}', headers=None, partition=0):
        self._place = ("events", partition, offset)
        self._value = value
        self._headers = headers if headers is not None else self.usual_headers(event_type)

    @staticmethod
    def usual_headers(event_type):
        return [("event_type", event_type.encode()), ("x-rh-sources-org-id", b"3340851")]

    def topic(self):
        return self._place[0]

    def partition(self):
        return self._place[1]

    def offset(self):
        return self._place[2]

    def value(self):
        return self._value

    def headers(self):
        return self._headers

    def error(self):
        return None

    def timestamp(self):
        return (1, 1_700_000_000_000)


class NoHeaders(Message):
    def headers(self):
        return None


class ErrorMessage(Message):
    def __init__(self):
        super().__init__(0)

    def error(self):
        return KafkaError(KafkaError._ALL_BROKERS_DOWN)


class Consumer:
    """Hands out batches, then stops the listener; an exception in place of one is raised.

    While it is paused only a batch that is a tuple comes, as of a partition just assigned.
    """

    def __init__(self, *batches):
        self.batches = list(batches)
        self.rest = []
        self.stored = {}
        self.stored_counts = []
        self.paused = False
        self.listener = None

    def poll(self, timeout):
        if self.paused and not (self.batches and isinstance(self.batches[0], tuple)):
            time.sleep(timeout)
            return None
        if not self.batches:
            self.listener.stop()
            return None
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        if not batch:
            return None
        first, *self.rest = batch
        return first

    def consume(self, count, timeout):
        rest, self.rest = self.rest, []
        return rest

    def store_offsets(self, *, offsets):
        for offset in offsets:
            self.stored[offset.partition] = offset.offset
        self.stored_counts.append(InboxMessage.objects.count())

    def assignment(self):
        return []

    def pause(self, partitions):
        self.paused = True

    def resume(self, partitions):
        self.paused = False

    def get_watermark_offsets(self, partition, cached):
        return (0, 100)


def listen(*batches, **options):
    consumer = Consumer(*batches)
    consumer.listener = Listener(consumer, **options)
    consumer.listener.run()
    return consumer


def stored_types():
    return list(InboxMessage.objects.order_by("id").values_list("event_type", flat=True))


def test_scenario_01_five_types_and_one_other(queued):
    order = [CREATE, DESTROY, UPDATE, PAUSE, UNPAUSE, "Application.update"]
    consumer = listen([Message(offset, kind) for offset, kind in enumerate(order)])
    assert queued.names == [TASKS[kind] for kind in order[:5]]
    assert stored_types() == order[:5]
    assert consumer.stored == {0: 6}
    headers = [["event_type", CREATE], ["x-rh-sources-org-id", "3340851"]]
    assert queued[0].args == ({"id": 11}, headers)


@pytest.mark.parametrize(
    "kind",
    [
        "Source.create",
        "Application.create",
        "Application.update",
        "Authentication.create",
        "ApplicationAuthentication.update",
        "Records.update",
        "applicationauthentication.create",
        "",
    ],
)
def test_other_types_are_ignored_but_consumed(queued, kind):
    assert listen([Message(4, kind)]).stored == {0: 5}
    assert queued == []
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        Message(0, value=b"this is not json"),
        Message(0, value=b"\xff"),
        Message(0, value=None),
        Message(0, value=b"[]"),
        Message(0, value=b'{"name": "\\u0000"}'),
        Message(0, headers=[("event_type", b"\xff")]),
        Message(0, headers=[("event_type", None)]),
        NoHeaders(0),
    ],
)
def test_scenarios_02_03_bad_messages_are_skipped(queued, bad):
    for batches in ([[bad], [Message(1)]], [[bad, Message(2)]]):
        consumer = listen(*batches)
        assert consumer.stored == {0: batches[-1][-1].offset() + 1}
    assert queued.names == [TASKS[PAUSE]] * 2


class UnreadableHeaders(Message):
    """The client finds that a header's name is no UTF-8, and fails in its own way."""

    def headers(self):
        raise SystemError("returned a result with an exception set")


class StrangeTime(Message):
    def timestamp(self):
        return (1, 2**62)


HOSTILE = {
    "headers that cannot be read": UnreadableHeaders(0),
    "account number that no column holds": Message(
        0, headers=[*Message.usual_headers(PAUSE), ("x-rh-sources-account-number", b"9" * 1000)]
    ),
    "identity of a megabyte": Message(
        0, headers=[("event_type", PAUSE.encode()), ("x-rh-identity", b"e30=" * 250_000)]
    ),
    "number of 5,000 digits": Message(0, value=b'{"id": ' + b"9" * 5000 + b"}"),
    "endless nesting": Message(0, value=b'{"id": 11, "x": ' + b"[" * 500_000),
    "NUL": Message(0, value=b'{"id": 11, "x": "\\u0000"}'),
    "half a character": Message(0, value=b'{"id": 11, "x": "\\ud800"}'),
    "infinity": Message(0, value=b'{"id": 11, "x": 1e999}'),
}


class TestHostileMessages:
    """Issue 14: they are logged and counted, and others go on."""

    @pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)
    def test_they_are_counted_and_others_come_through(self, queued, caplog, bad):
        def count():
            return sum(
                listener_metrics.MESSAGES.labels(kind, "malformed")._value.get()
                for kind in (PAUSE, "other")
            )

        before = count()
        consumer = listen([bad, Message(1)], [Message(2)])
        assert consumer.stored == {0: 3}
        assert [task.args[0] for task in queued] == [{"id": 11}] * 2
        assert count() == before + 1
        assert "events/0/0" in caplog.text
        assert len(caplog.text) < 20_000

    @pytest.mark.parametrize(
        "message",
        [
            Message(0, value=b'{"id": 11, "x": ' + b"[" * 500 + b"]" * 500 + b"}"),
            Message(0, value=b'{"id": 11, "x": "' + b"x" * 1_000_000 + b'"}'),
            Message(0, value=b'{"id": 11, "x": [' + b"{}," * 300_000 + b"{}]}"),
            Message(0, headers=[*Message.usual_headers(PAUSE), ("z", b"x" * 1_000_000)]),
            Message(0, headers=Message.usual_headers(PAUSE) * 3),
            StrangeTime(0),
        ],
        ids=["deep", "a megabyte of text", "many objects", "huge header", "duplicates", "time"],
    )
    def test_what_can_be_done_is_done(self, queued, message):
        consumer = listen([message, Message(1)])
        assert consumer.stored == {0: 2}
        assert [task.args[0]["id"] for task in queued] == [11, 11]
        for stored, task in zip(InboxMessage.objects.order_by("id"), queued, strict=True):
            assert stored.application_id == 11
            for kept in (stored.value, stored.headers, *task.args):
                assert len(json.dumps(kept)) < 10_000

    def test_other_customers_are_not_influenced(self, queued):
        """A message that names two customers belongs to the one with the account number."""
        make_user(account_number="1", org_id="3340851")
        headers = [*Message.usual_headers(PAUSE), ("x-rh-sources-account-number", b"2")]
        listen([Message(0), Message(1, headers=headers), Message(2)])
        keys = InboxMessage.objects.order_by("id").values_list("customer_key", flat=True)
        assert list(keys) == ["account 1", "account 2", "account 1"]


def test_null_header_is_kept_as_nothing(queued):
    headers = [*Message.usual_headers(PAUSE), ("x", None), ("x", b"2")]
    listen([Message(0, headers=headers)])
    assert queued[0].args[1][2:] == [["x", None], ["x", "2"]]


def test_skipped_message_is_named_but_not_who_sent_it(queued, caplog):
    caplog.set_level(logging.INFO, logger="api")
    headers = [*Message.usual_headers(PAUSE), ("x-rh-identity", b"aWRlbnRpdHk=")]
    listen([Message(77, value=b"nonsense", headers=headers, partition=3)])
    assert "events/3/77" in caplog.text
    assert "nonsense" in caplog.text
    assert "aWRlbnRpdHk=" not in caplog.text


@pytest.mark.parametrize(
    "switch", ["SOURCES_ENABLE_DATA_MANAGEMENT", "SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA"]
)
def test_scenario_04_switched_off(queued, settings, switch):
    setattr(settings, switch, False)
    assert listen([Message(0, CREATE)]).stored == {0: 1}
    assert queued == []
    assert not InboxMessage.objects.exists()


def test_kafka_errors_are_warnings(queued, caplog):
    error = KafkaException(KafkaError(KafkaError._TRANSPORT))
    listen([ErrorMessage()], error, [Message(0)])
    assert caplog.text.count("Kafka: ") == 2
    assert queued.names == [TASKS[PAUSE]]


def test_unexpected_exception_ends_the_loop(queued):
    with pytest.raises(ZeroDivisionError):
        listen(ZeroDivisionError())


def test_offset_is_given_back_only_after_the_message_is_stored(queued):
    consumer = listen([Message(0)], [Message(1), Message(5, partition=2)])
    assert consumer.stored_counts == [1, 3]
    assert consumer.stored == {0: 2, 2: 6}


def test_message_sent_again_is_stored_and_queued_once(queued):
    listen([Message(0)], [Message(0), Message(1)])
    assert InboxMessage.objects.count() == 2
    assert len(queued) == 2


def test_lost_partition_is_no_error(queued, monkeypatch):
    def refuse(self, *, offsets):
        raise KafkaException(KafkaError(KafkaError._STATE))

    monkeypatch.setattr(Consumer, "store_offsets", refuse)
    listen([Message(0)], [Message(1)])
    assert len(queued) == 2


class TestDatabaseAway:
    @pytest.fixture
    def failures(self, monkeypatch):
        """Let the next so many attempts to store fail."""
        remaining = []
        store = inbox.store

        def failing(messages):
            if remaining:
                raise remaining.pop()
            return store(messages)

        monkeypatch.setattr(inbox, "store", failing)
        monkeypatch.setattr(listener, "FIRST_WAIT_SECONDS", 0.01)
        monkeypatch.setattr(listener, "LONGEST_WAIT_SECONDS", 0.02)
        return remaining

    def test_same_messages_are_tried_again(self, queued, failures):
        failures += [OperationalError(), OperationalError(), ProgrammingError("no table")]
        consumer = listen([Message(0), Message(1)])
        assert consumer.stored == {0: 2}
        assert not consumer.paused
        assert len(queued) == 2

    def test_messages_of_new_partitions_join_those_in_hand(self, queued, failures):
        failures += [OperationalError()]
        consumer = listen([Message(0)], (Message(9, CREATE, partition=1),))
        assert consumer.stored == {0: 1, 1: 10}
        assert stored_types() == [PAUSE, CREATE]

    def test_stop_does_not_wait_for_it(self, queued, failures):
        failures += [OperationalError()] * 10_000
        consumer = Consumer([Message(0)])
        consumer.listener = Listener(consumer)
        threading.Timer(0.2, consumer.listener.stop).start()
        consumer.listener.run()
        assert consumer.stored == {}
        assert not InboxMessage.objects.exists()


class TestBrokerAway:
    @pytest.fixture(autouse=True)
    def short_pause(self, monkeypatch):
        monkeypatch.setattr(listener, "PUBLISH_PAUSE_SECONDS", 0.0)

    def test_scenario_05_messages_are_stored_and_queued_later(self, queued, monkeypatch):
        enqueue, away = inbox.enqueue, True

        def failing(*args, **kwargs):
            if away:
                raise ConnectionError
            return enqueue(*args, **kwargs)

        monkeypatch.setattr(inbox, "enqueue", failing)
        consumer = listen([Message(0)], [Message(1, CREATE)], [])
        assert consumer.stored == {0: 2}
        assert queued == []
        away = False
        listen([])
        assert queued.names == [TASKS[PAUSE], TASKS[CREATE]]
        assert not InboxMessage.objects.filter(queued_at=None).exists()

    def test_queueing_resumes_in_the_same_process(self, queued, monkeypatch):
        enqueue, failures = inbox.enqueue, [1]

        def failing(*args, **kwargs):
            if failures:
                failures.pop()
                raise ConnectionError
            return enqueue(*args, **kwargs)

        monkeypatch.setattr(inbox, "enqueue", failing)
        listen([], [Message(0), Message(1)], [Message(2)], [])
        assert [task.name for task in queued] == [TASKS[PAUSE]] * 3


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
    assert not more["is_hurried"]()
    found.stop()
    assert more["is_hurried"]()
    assert more["hurried_seconds"] < 2


class TestCommand:
    @pytest.fixture
    def command(self, monkeypatch, settings):
        """The command on a consumer with one message, and a record of what else it does."""
        consumer = Consumer([Message(0)])
        done = []
        monkeypatch.setattr(listen_to_sources, "make_consumer", lambda: consumer)
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
