"""The listener's loop, with a consumer that hands out what the test says (spec 03 §1)."""

import json
import logging
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException
from django.db import OperationalError, ProgrammingError

from api.models import InboxMessage
from api.sources import inbox, listener, listener_metrics
from api.sources.listener import Listener
from api.sources.messages import CREATE, DESTROY, PAUSE, TASKS, UNPAUSE, UPDATE
from tests.api.sources.consumer import (
    Consumer,
    ErrorMessage,
    Message,
    NoHeaders,
    listen,
    stored_types,
)
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connection_of_the_test")]


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
