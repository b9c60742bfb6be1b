"""Working on stored messages in order (decision 27)."""

import datetime
import random
import threading
import time
from collections import defaultdict

import pytest
from django.db import connection

from api.clouds.provider import TransientCloudError
from api.models import InboxMessage
from api.sources import work
from api.sources.client import SourcesMissingError, SourcesRefusedError
from api.sources.messages import CREATE, TASKS
from api.sources.work import (
    BusyError,
    ChildTask,
    MessageOutcome,
    StepAsideError,
    work_for_customer_of,
    work_on_child_task,
)
from tests.api.passing_time import time_passes
from tests.api.sources.stored import received, store
from tests.deployment.processes import wait_for
from util import postgres, tasks
from util.tasks import MAX_RETRIES
from util.time_limit import TimeLimitReached

pytestmark = [pytest.mark.django_db, pytest.mark.random_history]

DONE = MessageOutcome("done")


class Handler:
    """Remembers which messages it was given; raises or returns what ``results`` has for an id."""

    def __init__(self, **results):
        self.results = results
        self.handled = []
        self.given_up = []

    def __call__(self, message):
        number = message.value["id"]
        self.handled.append(number)
        result = self.results.get(f"m{number}", DONE)
        if isinstance(result, Exception):
            raise result
        return result

    def give_up(self, message, error):
        self.given_up.append(message.value["id"])


def store_numbers(*numbers, customer="org 1"):
    return store(*[received(customer, CREATE, {"id": number}) for number in numbers])


def work_on(inbox_id, handler):
    return work_for_customer_of(inbox_id, handle=handler, give_up=handler.give_up)


def states():
    rows = InboxMessage.objects.order_by("id")
    return [row.state for row in rows]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_any_task_works_on_all_messages_in_order(queued, which):
    ids = store_numbers(1, 2, 3)
    store_numbers(4, customer="org 2")
    handler = Handler()
    work_on(ids[which], handler)
    assert handler.handled == [1, 2, 3]
    assert states() == ["processed", "processed", "processed", "waiting"]
    assert InboxMessage.objects.filter(lease_token=None, lease_until=None).count() == 4
    work_on(ids[which], handler)
    assert handler.handled == [1, 2, 3]


def test_outcome_is_kept_for_operators(queued):
    (inbox_id,) = store_numbers(1)
    work_on(inbox_id, Handler(m1=MessageOutcome("not ours")))
    message = InboxMessage.objects.get()
    assert message.reason == "not ours"
    assert message.finished_at is not None


def test_task_of_a_finished_message_costs_one_query(queued, django_assert_num_queries):
    ids = store_numbers(1, 2)
    InboxMessage.objects.filter(id=ids[0]).update(state="processed")
    handler = Handler()
    with django_assert_num_queries(1):
        assert not work_on(ids[0], handler)
    assert handler.handled == []


def test_message_that_is_gone():
    assert not work_on(4711, Handler())


class TestFailure:
    def test_later_messages_wait_until_it_works(self, queued, monkeypatch):
        handler = Handler(m1=RuntimeError("boom"))
        monkeypatch.setattr(random, "uniform", lambda low, high: 1000 * high)
        ids = store_numbers(1, 2)
        work_on(ids[1], handler)
        assert handler.handled == [1]
        message = InboxMessage.objects.get(id=ids[0])
        assert (message.state, message.attempts) == ("failed", 1)
        assert message.reason == "RuntimeError: boom"
        (task,) = queued
        assert task.name == TASKS[CREATE]
        assert task.countdown == 1000
        for due in (message.not_before, message.queued_at):
            assert (due - message.received_at).total_seconds() == pytest.approx(1000, abs=60)
        work_on(ids[1], handler)
        assert handler.handled == [1]
        time_passes(1000)
        handler.results.clear()
        work_on(ids[1], handler)
        assert handler.handled == [1, 1, 2]
        assert states() == ["processed", "processed"]

    def test_waits_grow_up_to_two_minutes_and_end_after_an_hour(self, queued, monkeypatch):
        monkeypatch.setattr(random, "uniform", lambda low, high: high)
        handler = Handler(m1=RuntimeError("boom"))
        waits = []
        ids = store_numbers(1, 2)
        while states()[0] != "dead":
            work_on(ids[0], handler)
            if states()[0] == "failed":
                waits.append(queued[-1].countdown)
                time_passes(waits[-1])
        assert waits[:9] == [1, 2, 4, 8, 16, 32, 64, 120, 120]
        assert max(waits) == 120
        assert len(waits) == 35
        assert sum(waits) == 3487
        assert handler.given_up == [1]
        assert handler.handled[-1] == 2
        assert states() == ["dead", "processed"]

    def test_it_waits_as_long_as_a_cloud_asks(self, queued):
        """Decision 51: ``Retry-After`` delays the repetition by it, an hour at most."""
        error = TransientCloudError(retry_after=7200)
        (inbox_id,) = store_numbers(1)
        work_on(inbox_id, Handler(m1=error))
        message = InboxMessage.objects.get()
        waits = (message.not_before - message.received_at).total_seconds()
        assert waits == pytest.approx(3600, abs=60)
        (task,) = queued
        assert task.countdown == 3600

    def test_refusal_is_not_repeated(self, queued):
        ids = store_numbers(1, 2)
        handler = Handler(m1=SourcesRefusedError("401"))
        work_on(ids[0], handler)
        assert states() == ["dead", "processed"]
        assert handler.given_up == [1]
        assert queued == []

    def test_failure_to_give_up_is_only_logged(self, queued):
        (inbox_id,) = store_numbers(1)
        handler = Handler(m1=SourcesRefusedError("401"))
        handler.give_up = lambda *_: 1 / 0
        work_on(inbox_id, handler)
        assert states() == ["dead"]

    def test_time_limit_fails_the_message(self, queued):
        """It is repeated like any other failure (fault 11)."""
        (inbox_id,) = store_numbers(1)

        def handle(message):
            raise TimeLimitReached

        work_for_customer_of(inbox_id, handle=handle, give_up=lambda *_: None)
        message = InboxMessage.objects.get()
        assert (message.state, message.attempts) == ("failed", 1)
        assert message.reason == "SoftTimeLimitExceeded: SoftTimeLimitExceeded()"

    def test_broker_that_is_away_fails_the_message(self, monkeypatch):
        """What the handler queues is part of its work."""
        (inbox_id,) = store_numbers(1)
        monkeypatch.setattr(tasks, "publish", lambda *_, **__: 1 / 0)
        monkeypatch.setattr(
            tasks.transaction, "on_commit", lambda f, robust: None if robust else f()
        )

        def handle(message):
            tasks.enqueue("api.tasks.enable_account", 1)
            return DONE

        work_for_customer_of(inbox_id, handle=handle, give_up=lambda *_: None)
        assert states() == ["failed"]


class TestLease:
    def claim(self, inbox_id, until):
        InboxMessage.objects.filter(id=inbox_id).update(
            state="working", lease_until=until, lease_token="0" * 32
        )

    def test_message_in_other_hands_is_left_alone(self, queued):
        ids = store_numbers(1, 2)
        self.claim(ids[0], postgres.now() + datetime.timedelta(seconds=5))
        handler = Handler()
        assert work_on(ids[1], handler)
        assert handler.handled == []

    def test_message_of_a_lost_worker_is_taken_over(self, queued):
        ids = store_numbers(1, 2)
        self.claim(ids[0], postgres.now() - datetime.timedelta(seconds=1))
        handler = Handler()
        assert not work_on(ids[1], handler)
        assert handler.handled == [1, 2]
        assert InboxMessage.objects.get(id=ids[0]).attempts == work.LOST_WORKER_ATTEMPTS

    def test_message_that_loses_its_worker_three_times_is_given_up(self, queued):
        """Decision 43: begun three times, and then no more; the customer's later ones go on."""
        ids = store_numbers(1, 2)
        begun = []

        def die(message):
            begun.append(message.value["id"])
            raise SystemExit

        for times in range(1, 4):
            with pytest.raises(SystemExit):
                work_for_customer_of(ids[0], handle=die, give_up=lambda *_: None)
            assert begun == [1] * times
            InboxMessage.objects.filter(state="working").update(
                lease_until=postgres.now() - datetime.timedelta(seconds=1)
            )
        handler = Handler()
        work_on(ids[0], handler)
        assert handler.handled == [2]
        assert handler.given_up == [1]
        assert InboxMessage.objects.get(id=ids[0]).state == "dead"

    def test_worker_that_was_taken_for_lost_writes_nothing(self, queued, caplog):
        (inbox_id,) = store_numbers(1)
        until = postgres.now() + datetime.timedelta(seconds=20)

        def handle(message):
            self.claim(message.id, until)
            return DONE

        work_for_customer_of(inbox_id, handle=handle, give_up=lambda *_: None)
        assert InboxMessage.objects.get().lease_until == until
        assert "taken over" in caplog.text

    def test_turn_ends_and_is_passed_on(self, queued, monkeypatch):
        monkeypatch.setattr(work, "TURN_SECONDS", 0.05)
        ids = store_numbers(1, 2, 3)

        def handle(message):
            time.sleep(0.1)
            return DONE

        work_for_customer_of(ids[0], handle=handle, give_up=lambda *_: None)
        assert states() == ["processed", "waiting", "waiting"]
        (task,) = queued
        assert task.args[0]["id"] == 2


class TestChildTasks:
    FIRST = ChildTask("first", "api.tasks.enable_account", (1,))
    SECOND = ChildTask("second", "api.tasks.enable_account", (2,), {"more": "x"})

    def follow(self, inbox_id, name, handler, done=DONE):
        work_on_child_task(
            inbox_id,
            name,
            work=lambda message: done,
            handle=handler,
            give_up=handler.give_up,
        )

    def test_message_ends_with_its_last_child_task(self, queued):
        ids = store_numbers(1, 2)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST, self.SECOND]))
        work_on(ids[0], handler)
        assert states() == ["handed_on", "waiting"]
        assert [task.args for task in queued] == [(1,), (2,)]
        self.follow(ids[0], "second", handler)
        assert states() == ["handed_on", "waiting"]
        self.follow(ids[0], "second", handler)
        assert states() == ["handed_on", "waiting"]
        self.follow(ids[0], "first", handler)
        assert states() == ["processed", "processed"]
        assert handler.handled == [1, 2]

    def test_child_task_may_have_child_tasks(self, queued):
        ids = store_numbers(1, 2)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST]))
        work_on(ids[0], handler)
        self.follow(ids[0], "first", handler, MessageOutcome("further", [self.SECOND]))
        assert states() == ["handed_on", "waiting"]
        assert InboxMessage.objects.get(id=ids[0]).child_tasks == ["second"]
        self.follow(ids[0], "second", handler)
        assert states() == ["processed", "processed"]

    def test_lost_child_task_is_queued_again_and_either_of_the_two_counts(self, queued):
        ids = store_numbers(1, 2)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST]))
        work_on(ids[0], handler)
        InboxMessage.objects.filter(id=ids[0]).update(lease_until=postgres.now())
        work_on(ids[0], handler)
        assert handler.handled == [1, 1]
        assert len(queued) == 2
        assert InboxMessage.objects.get(id=ids[0]).attempts == 0
        self.follow(ids[0], "first", handler)
        self.follow(ids[0], "first", handler)
        assert handler.handled == [1, 1, 2]

    def fail(self, inbox_id, name, handler, error):
        def raising(message):
            raise error

        work_on_child_task(inbox_id, name, work=raising, handle=handler, give_up=handler.give_up)

    def test_failed_child_task_fails_the_message(self, queued):
        ids = store_numbers(1, 2)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST]))
        work_on(ids[0], handler)
        self.fail(ids[0], "first", handler, RuntimeError())
        message = InboxMessage.objects.get(id=ids[0])
        assert (message.state, message.child_tasks, message.attempts) == ("failed", [], 1)
        assert handler.handled == [1]

    @pytest.mark.parametrize(
        "error",
        [RuntimeError("x"), SourcesRefusedError("403"), SourcesMissingError("application 1", 600)],
    )
    def test_failed_child_task_does_not_take_others_with_it(self, queued, error):
        """Issue 14.4's kind: one refusal blocks nothing around it."""
        ids = store_numbers(1, 2)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST, self.SECOND]))
        work_on(ids[0], handler)
        with pytest.raises(StepAsideError) as aside:
            self.fail(ids[0], "first", handler, error)
        assert 0 <= aside.value.seconds <= 1
        message = InboxMessage.objects.get(id=ids[0])
        assert (message.state, message.attempts) == ("handed_on", 1)
        assert (message.missing_since is None) == (not isinstance(error, SourcesMissingError))
        self.follow(ids[0], "second", handler)
        assert InboxMessage.objects.get(id=ids[0]).child_tasks == ["first"]
        self.fail(ids[0], "first", handler, error)
        refused = isinstance(error, SourcesRefusedError)
        assert states()[0] == ("dead" if refused else "failed")

    def test_child_task_that_steps_aside_again_and_again_fails_the_message(self, queued):
        ids = store_numbers(1)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST, self.SECOND]))
        work_on(ids[0], handler)
        for _ in range(MAX_RETRIES):
            with pytest.raises(StepAsideError):
                self.fail(ids[0], "first", handler, RuntimeError("x"))
        self.fail(ids[0], "first", handler, RuntimeError("x"))
        assert states() == ["dead"]

    def test_lost_repetition_has_the_message_worked_on_again(self, queued):
        ids = store_numbers(1)
        handler = Handler(m1=MessageOutcome("begun", [self.FIRST, self.SECOND]))
        work_on(ids[0], handler)
        with pytest.raises(StepAsideError):
            self.fail(ids[0], "first", handler, RuntimeError("x"))
        time_passes(3600)
        work_on(ids[0], handler)
        assert handler.handled == [1, 1]

    def test_child_task_waits_for_another_worker(self, queued):
        (inbox_id,) = store_numbers(1)
        InboxMessage.objects.update(state="working", child_tasks=["first"])
        with pytest.raises(BusyError):
            self.follow(inbox_id, "first", Handler())

    @pytest.mark.parametrize("state", ["processed", "dead", "waiting", "failed"])
    def test_child_task_that_is_not_needed_is_left_out(self, queued, state):
        (inbox_id,) = store_numbers(1)
        InboxMessage.objects.update(state=state, child_tasks=["first"])
        self.follow(inbox_id, "first", Handler(), done=None)
        assert states() == [state]

    def test_child_task_of_a_message_that_is_gone(self, queued):
        self.follow(4711, "first", Handler(), done=None)

    def test_child_tasks_that_cannot_be_queued(self, monkeypatch):
        (inbox_id,) = store_numbers(1)
        monkeypatch.setattr(work, "enqueue", lambda *_, **__: 1 / 0)
        work_on(inbox_id, Handler(m1=MessageOutcome("begun", [self.FIRST])))
        message = InboxMessage.objects.get()
        assert (message.state, message.queued_at) == ("handed_on", None)
        assert message.lease_until <= postgres.now() < message.not_before


@pytest.mark.django_db(transaction=True)
class TestManyWorkers:
    def test_customers_are_served_in_order_one_at_a_time_and_in_parallel(self, monkeypatch):
        """Several workers, tasks delivered in any order and more than once."""
        monkeypatch.setattr(work, "publish_later", lambda *_, **__: None)
        customers = [f"org {number}" for number in range(4)]
        messages = [
            received(customer, CREATE, {"id": number})
            for number in range(12)
            for customer in customers
        ]
        ids = store(*messages) * 2
        random.Random(1).shuffle(ids)
        lock = threading.Lock()
        handled = defaultdict(list)
        at_work = defaultdict(int)
        most_at_once = 0

        def handle(message):
            nonlocal most_at_once
            key = message.customer_key
            with lock:
                at_work[key] += 1
                assert at_work[key] == 1, "two messages of one customer at once"
                most_at_once = max(most_at_once, sum(at_work.values()))
            time.sleep(0.005)
            with lock:
                handled[key].append(message.value["id"])
                at_work[key] -= 1
            return DONE

        def run(share):
            try:
                for inbox_id in share:
                    work_for_customer_of(inbox_id, handle=handle, give_up=lambda *_: None)
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=(ids[n::5],)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert handled == {customer: list(range(12)) for customer in customers}
        assert most_at_once > 1
        assert set(states()) == {"processed"}

    def test_lease_is_kept_as_long_as_the_work_lasts(self, settings):
        settings.INBOX_LEASE_SECONDS = 3
        (inbox_id,) = store_numbers(1)
        second = Handler()

        def handle(message):
            first_lease = InboxMessage.objects.get(id=message.id).lease_until
            assert wait_for(lambda: postgres.now() > first_lease, seconds=90)
            assert work_on(inbox_id, second)
            return DONE

        work_for_customer_of(inbox_id, handle=handle, give_up=lambda *_: None)
        assert second.handled == []
        assert states() == ["processed"]
