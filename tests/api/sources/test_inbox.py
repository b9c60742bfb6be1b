"""Storing and queueing messages (decision 27)."""

import datetime
import random
import string
from itertools import pairwise

import pytest
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from api.models import InboxMessage
from api.sources import inbox
from api.sources.inbox import Coordinates
from api.sources.messages import CREATE, DESTROY, PAUSE, TASKS, Tenant
from tests.api.passing_time import is_spaced_ever_wider, time_passes
from tests.api.sources.stored import received, store
from tests.factories import utc
from util import postgres, tasks

pytestmark = pytest.mark.django_db

PATIENTLY = settings(deadline=None, max_examples=50)
State = InboxMessage.State


def seconds_from_now(seconds):
    return postgres.now() + datetime.timedelta(seconds=seconds)


class TestStore:
    def test_columns(self):
        message = received(customer="org 7", event_type=CREATE, value={"id": 1, "x": ["ü", None]})
        (inbox_id,) = store(message)
        stored = InboxMessage.objects.get()
        assert stored.id == inbox_id
        assert (stored.topic, stored.partition, stored.offset) == message.coordinates
        assert stored.event_type == CREATE
        assert stored.customer_key == "org 7"
        assert stored.value == {"id": 1, "x": ["ü", None]}
        assert stored.headers == message.kept_headers
        assert (stored.state, stored.attempts, stored.queued_at) == ("waiting", 0, None)

    def test_order_is_kept(self):
        messages = [received() for _ in range(100)]
        store(*messages)
        offsets = InboxMessage.objects.order_by("id").values_list("offset", flat=True)
        assert list(offsets) == [message.coordinates.offset for message in messages]

    def test_known_messages_are_left_alone(self):
        known, new = received(), received()
        store(known)
        stored, rejected = inbox.store([known, new, new])
        assert [message for _, message in stored] == [new]
        assert rejected == []
        assert InboxMessage.objects.count() == 2

    def test_offset_of_a_topic_made_anew_is_another_message(self, caplog):
        """Its numbering starts again, and nothing may be taken for known that is not."""
        known = received(value={"id": 1})
        anew = received(
            value={"id": 2}, coordinates=known.coordinates, written_at=utc("2026-02-01")
        )
        (old_id,) = store(known)
        (new_id,) = store(anew)
        assert inbox.store([anew]) == ([], [])
        old, new = InboxMessage.objects.get(id=old_id), InboxMessage.objects.get(id=new_id)
        assert (old.value, new.value) == ({"id": 1}, {"id": 2})
        assert new.topic == "events"
        assert old.topic.startswith("events before ")
        assert old.state == "waiting"
        assert "a second time" in caplog.text

    def test_few_statements_for_many(self, django_assert_num_queries):
        messages = [received() for _ in range(200)]
        with django_assert_num_queries(6):
            inbox.store(messages)

    def test_nothing(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert inbox.store([]) == ([], [])

    @pytest.mark.parametrize(
        "bad",
        [
            {"value": {"name": "\x00"}},
            {"value": {"name": "\ud800"}},
            {"value": {"number": float("inf")}},
            {"tenant": Tenant(None, "\x00")},
            {"kept_headers": [["x-rh-sources-org-id", "\x00"]]},
        ],
    )
    def test_what_the_database_can_not_hold_does_not_harm_its_neighbours(self, bad):
        before, malformed, after = received(), received(**bad), received()
        stored, rejected = inbox.store([before, malformed, after])
        assert [message for _, message in stored] == [before, after]
        assert rejected == [malformed]

    def test_limits_of_postgresql_are_no_outage(self):
        """Django takes them for errors of operation: the listener would wait for ever."""
        before, after = received(), received()
        topic = "".join(random.Random(1).choices(string.ascii_letters, k=20_000))
        huge = received(coordinates=Coordinates(topic, 0, 1))
        stored, rejected = inbox.store([before, huge, after])
        assert [message for _, message in stored] == [before, after]
        assert rejected == [huge]

    @PATIENTLY
    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.floats()))
    def test_any_body_is_stored_or_rejected(self, value):
        message = received(value=value)
        stored, rejected = inbox.store([message])
        assert [*(found for _, found in stored), *rejected] == [message]


class TestPublish:
    def test_each_new_message_gets_its_task(self, queued):
        messages = [received(event_type=event_type) for event_type in TASKS]
        stored, _ = inbox.store(messages)
        inbox.publish_new(stored)
        assert [(task.name, task.args) for task in queued] == [
            (TASKS[message.event_type], (message.value, message.headers)) for message in messages
        ]
        assert not InboxMessage.objects.filter(queued_at=None).exists()

    def test_what_is_not_queued_is_known(self, monkeypatch):
        stored, _ = inbox.store([received(), received(), received()])
        published = []

        def publish(*args, **kwargs):
            if len(published) == 1:
                raise ConnectionError
            published.append(args)

        monkeypatch.setattr(inbox, "enqueue", publish)
        with pytest.raises(ConnectionError):
            inbox.publish_new(stored)
        left = InboxMessage.objects.filter(queued_at=None).order_by("id")
        assert [one.id for one in left] == [inbox_id for inbox_id, _ in stored[1:]]

    def test_broker_that_is_away_is_an_error(self, monkeypatch):
        monkeypatch.setattr(tasks, "publish", lambda *_, **__: 1 / 0)
        monkeypatch.setattr(tasks.transaction, "on_commit", lambda f, robust: robust or f())
        stored, _ = inbox.store([received()])
        with pytest.raises(ZeroDivisionError):
            inbox.publish_new(stored)

    def test_unqueued_ones_are_queued_in_order(self, queued, monkeypatch):
        monkeypatch.setattr(inbox, "PUBLISHED_AT_ONCE", 2)
        messages = [received(value={"id": number}) for number in range(1, 6)]
        store(*messages)
        InboxMessage.objects.filter(value__id=3).update(queued_at=postgres.now())
        inbox.publish_unqueued()
        assert [task.args[0]["id"] for task in queued] == [1, 2, 4, 5]
        queued.clear()
        inbox.publish_unqueued()
        assert queued == []

    def test_stored_headers_are_used_later(self, queued):
        message = received()
        store(message)
        inbox.publish_unqueued()
        assert queued[0].args == (message.value, message.kept_headers)


class TestDue:
    def ids_due(self, queued):
        queued.clear()
        inbox.publish_due()
        return [task.args[0]["id"] for task in queued]

    def test_first_message_of_each_customer(self, queued):
        for number, customer in enumerate(["org a", "org b", "org a", "org c"], start=1):
            store(received(customer=customer, value={"id": number}))
        assert self.ids_due(queued) == [1, 2, 4]
        assert self.ids_due(queued) == []

    def test_queued_ones_get_a_minute_then_longer(self, queued):
        store(received(value={"id": 1}))
        inbox.publish_unqueued()
        found = []
        for second in range(10, 3600, 10):
            time_passes(10)
            if self.ids_due(queued):
                found.append(second)
        assert is_spaced_ever_wider(found, first=60, step=10, most=600)
        assert found[-1] > 2900

    @pytest.mark.parametrize(
        ("state", "column", "seconds", "due"),
        [
            ("failed", "not_before", 0, True),
            ("failed", "not_before", 600, False),
            ("working", "lease_until", 10, False),
            ("working", "lease_until", -1, True),
            ("handed_on", "lease_until", 100, False),
            ("handed_on", "lease_until", -1, True),
            ("processed", "lease_until", -1, False),
            ("dead", "lease_until", -1, False),
        ],
    )
    def test_states(self, queued, state, column, seconds, due):
        store(received(value={"id": 1}))
        InboxMessage.objects.update(state=state, **{column: seconds_from_now(seconds)})
        assert self.ids_due(queued) == ([1] if due else [])

    def test_work_that_was_lost_waits_a_minute_however_old_it_is(self, queued):
        """Found by the soak: a worker was killed, and Redis lost what it held.

        The message was an hour old, and nobody looked after it for ten minutes.
        """
        store(received(value={"id": 1}))
        time_passes(3600)
        InboxMessage.objects.update(
            state="working", queued_at=postgres.now(), lease_until=seconds_from_now(25)
        )
        found = []
        for second in range(10, 600, 10):
            time_passes(10)
            if self.ids_due(queued):
                found.append(second)
        assert found == [90], "a minute after the lease; then it may wait in a queue again"

    def test_a_repetition_that_was_lost_waits_a_minute_however_old_it_is(self, queued):
        """Issue 14: Redis lost the task of a failed message, which waited for ten minutes more."""
        (inbox_id,) = store(received(value={"id": 1}))
        time_passes(3600)
        message = InboxMessage.objects.get(id=inbox_id)
        InboxMessage.objects.update(state="failed", not_before=seconds_from_now(115))
        inbox.publish_later(message, seconds=115)
        found = []
        for second in range(10, 1000, 10):
            time_passes(10)
            if self.ids_due(queued):
                found.append(second)
        assert found[0] == 180, "a minute after it was due"
        gaps = [after - before for before, after in pairwise(found)]
        assert gaps == sorted(gaps), "then it may be waiting in a queue"
        assert len(found) < 6

    def test_customer_waits_behind_his_first_message(self, queued):
        first, _ = store(received(value={"id": 1}), received(value={"id": 2}))
        InboxMessage.objects.filter(id=first).update(
            state="working", lease_until=seconds_from_now(10)
        )
        assert self.ids_due(queued) == []


def test_old_processed_messages_are_forgotten():
    ids = store(*[received() for _ in range(4)])
    old, recent = seconds_from_now(-31 * 86400), seconds_from_now(-29 * 86400)
    for inbox_id, state, finished_at in zip(
        ids,
        [State.PROCESSED, State.PROCESSED, State.DEAD, State.WAITING],
        [old, recent, old, None],
        strict=True,
    ):
        InboxMessage.objects.filter(id=inbox_id).update(state=state, finished_at=finished_at)
    assert inbox.prune() == 1
    assert set(InboxMessage.objects.values_list("id", flat=True)) == set(ids[1:])


class TestStatistics:
    def test_nothing(self):
        found = inbox.statistics()
        assert found.oldest_waiting_seconds == 0
        assert set(found.counts.values()) == {0}

    def test_counts_and_age(self):
        ids = store(*[received() for _ in range(4)])
        for inbox_id, state in zip(ids, ["waiting", "failed", "dead", "processed"], strict=True):
            InboxMessage.objects.filter(id=inbox_id).update(
                state=state, received_at=seconds_from_now(-100 if state == "failed" else -1000)
            )
        InboxMessage.objects.filter(state="waiting").update(received_at=seconds_from_now(-50))
        found = inbox.statistics()
        assert found.counts == {
            "waiting": 1,
            "working": 0,
            "handed_on": 0,
            "failed": 1,
            "dead": 1,
        }
        assert found.oldest_waiting_seconds == pytest.approx(100, abs=5)


class TestCommand:
    @pytest.fixture
    def broken(self):
        ids = store(received("org 1"), received("org 2", DESTROY), received("org 3", PAUSE))
        for inbox_id, state in zip(ids, ["waiting", "failed", "dead"], strict=True):
            InboxMessage.objects.filter(id=inbox_id).update(
                state=state,
                attempts=3,
                reason=f"because {state}",
                not_before=seconds_from_now(100),
                queued_at=postgres.now(),
            )
        return ids

    def test_list(self, broken, capsys):
        call_command("inbox")
        shown = capsys.readouterr().out
        for word in ("because waiting", "because failed", "because dead", "org 2", DESTROY):
            assert word in shown
        assert "1 waiting, 0 working, 0 handed_on, 1 failed, 1 dead" in shown

    def test_list_of_a_state(self, broken, capsys):
        call_command("inbox", state="dead")
        shown = capsys.readouterr().out
        assert "org 3" in shown
        assert "org 2" not in shown

    def test_list_of_nothing(self, capsys):
        call_command("inbox")
        assert "0 dead" in capsys.readouterr().out

    def test_retry_all(self, broken, queued, capsys):
        call_command("inbox", retry=True)
        assert "2 messages are worked on again." in capsys.readouterr().out
        again = InboxMessage.objects.filter(id__in=broken[1:])
        assert {(m.state, m.attempts) for m in again} == {("waiting", 0)}
        assert len(queued) == 2

    def test_retry_one(self, broken, queued, capsys):
        call_command("inbox", str(broken[2]), retry=True)
        assert InboxMessage.objects.get(id=broken[1]).state == "failed"
        assert queued.names == [TASKS[PAUSE]]

    def test_retry_while_the_broker_is_away(self, broken, monkeypatch, capsys):
        monkeypatch.setattr(inbox, "enqueue", lambda *_, **__: 1 / 0)
        call_command("inbox", retry=True)
        assert InboxMessage.objects.filter(state="waiting", queued_at=None).count() == 2

    def test_waiting_messages_are_not_retried(self, broken, queued):
        assert inbox.retry([broken[0]]) == 0
