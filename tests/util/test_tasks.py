"""Tasks: retries, arguments, queueing (08 §6.2-6.4)."""

import datetime
import uuid

import pytest
import time_machine
from celery.exceptions import Retry
from django.db import OperationalError, transaction
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.errors import LockNotAvailable

from cloudigrade import celery_app
from util import clock, tasks
from util.tasks import (
    LONG,
    LONGEST_WAIT_FOR_LOCK,
    MAX_RETRIES,
    RetryPolicy,
    TimeLimit,
    enqueue,
    parse_date,
    parse_datetime,
    plain,
    retries_within,
    seconds_asked_for,
    task,
)

TASK = "api.tasks.enable_account"


@pytest.mark.parametrize(
    ("seconds", "cap", "retries"),
    [(60, 60, 5), (60, 10, 8), (3600, 120, 35), (64, 60, 6), (63, 60, 5), (1, 60, 0), (0, 60, 0)],
)
def test_retries_within_a_total_time(seconds, cap, retries):
    assert retries_within(seconds, cap) == retries


@given(st.integers(1, 10_000), st.integers(1, 300))
def test_one_more_retry_would_not_fit(seconds, cap):
    count = retries_within(seconds, cap)
    waits = [min(2**number, cap) for number in range(count + 1)]
    assert sum(waits[:count]) < seconds or count == 0
    assert sum(waits) >= seconds


def test_standard_policy_spans_about_an_hour():
    options = RetryPolicy((RuntimeError,)).options()
    assert options == {
        "autoretry_for": (RuntimeError,),
        "max_retries": 35,
        "retry_backoff": 1,
        "retry_backoff_max": 120,
        "retry_jitter": True,
    }
    assert sum(min(2**number, 120) for number in range(35)) == 3487


def test_total_time_overrides_the_number_of_retries():
    policy = RetryPolicy((RuntimeError,), max_retries=3, max_backoff=60, total_seconds=60)
    assert policy.options()["max_retries"] == 5


@pytest.fixture
def failing_task():
    @task("tests.failing", retry=RetryPolicy((RuntimeError,), max_retries=2), limit=TimeLimit(5, 9))
    def fail(error_name):
        raise {"runtime": RuntimeError, "value": ValueError}[error_name]("no")

    yield celery_app.tasks["tests.failing"]
    celery_app.tasks.unregister("tests.failing")


def test_a_task_has_its_name_its_limits_and_is_acknowledged_late(failing_task):
    assert failing_task.name == "tests.failing"
    assert (failing_task.soft_time_limit, failing_task.time_limit) == (5, 9)
    assert failing_task.acks_late
    assert failing_task.reject_on_worker_lost
    assert failing_task.max_retries == 2


def test_only_the_policy_s_errors_are_retried(failing_task):
    outcome = failing_task.apply(args=["runtime"])
    assert isinstance(outcome.result, RuntimeError | Retry)
    assert failing_task.apply(args=["value"]).state == "FAILURE"


class Asking(RuntimeError):
    """An error that asks for some time."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(None, 0, 1), (0, 0, 1), (0.5, 0.5, 1), (1800.5, 1800.5, 1800.5), (86_400, 3600, 3600)],
)
def test_a_repetition_waits_as_long_as_the_error_asks(monkeypatch, retry_after, least, most):
    """Decision 51: a ``Retry-After`` delays the task's repetition by it, an hour at most."""
    countdowns = []

    def celery_retry(self, args, kwargs, exc, throw, eta, countdown, max_retries, **options):
        countdowns.append(countdown)
        raise Retry

    @task("tests.asking", retry=RetryPolicy((RuntimeError,)))
    def ask():
        raise Asking(retry_after)

    monkeypatch.setattr("celery.Task.retry", celery_retry)
    celery_app.tasks["tests.asking"].apply()
    celery_app.tasks.unregister("tests.asking")
    (countdown,) = countdowns
    assert least <= countdown <= most


def busy():
    raise OperationalError("lock timeout") from LockNotAvailable()


class TestLockThatIsHeld:
    """Decision 42: who gives up waiting for one tries again, whatever the task's policy says."""

    @pytest.fixture
    def repeated(self, monkeypatch):
        calls = []

        def celery_retry(self, args, kwargs, exc, throw, eta, countdown, max_retries, **options):
            calls.append((self.request.retries, countdown, max_retries))
            raise Retry

        monkeypatch.setattr("celery.Task.retry", celery_retry)
        return calls

    def run(self, work, retries=0, **options):
        made = task("tests.busy", **options)(work)
        try:
            return made.apply(retries=retries)
        finally:
            celery_app.tasks.unregister("tests.busy")

    @pytest.mark.parametrize("policy", [None, RetryPolicy((KeyError,), max_retries=1)])
    @pytest.mark.parametrize("retries", [0, 3, 30])
    def test_it_is_repeated(self, repeated, policy, retries):
        assert self.run(busy, retries=retries, retry=policy).state == "RETRY"
        ((number, countdown, most),) = repeated
        assert (number, most) == (retries, MAX_RETRIES)
        assert 0 <= countdown <= min(2**retries, LONGEST_WAIT_FOR_LOCK)

    def test_a_policy_of_its_own_comes_first(self, repeated):
        self.run(busy, retry=RetryPolicy((OperationalError,), max_retries=7))
        ((_, _, most),) = repeated
        assert most is None, "that is Celery's word for what the task says"

    def test_other_errors_of_the_database_are_not(self, repeated):
        def gone():
            raise OperationalError("server closed the connection")

        assert self.run(gone).state == "FAILURE"
        assert repeated == []

    def test_who_calls_it_directly_gets_the_error(self):
        made = task("tests.busy")(busy)
        try:
            with pytest.raises(OperationalError, match="lock timeout"):
                made()
        finally:
            celery_app.tasks.unregister("tests.busy")


def test_errors_that_ask_for_no_time():
    assert seconds_asked_for(None) == seconds_asked_for(ValueError("x")) == 0


def test_long_tasks_have_more_time():
    assert LONG.hard > tasks.SHORT.hard


def test_arguments_become_what_json_carries():
    identifier = uuid.uuid4()
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    arguments = (1, datetime.date(2026, 1, 2), {"at": moment, "id": identifier, "of": (None,)})
    assert plain(arguments) == [
        1,
        "2026-01-02",
        {"at": "2026-01-02T03:04:05+00:00", "id": str(identifier), "of": [None]},
    ]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan")])
def test_arguments_that_json_cannot_carry_are_refused_at_once(value):
    with pytest.raises((TypeError, ValueError)):
        plain([value])


def test_an_unknown_task_is_refused(queued):
    with pytest.raises(LookupError, match="no_such_task"):
        enqueue("api.tasks.no_such_task")
    assert queued == []


def test_without_a_transaction_a_task_is_queued_at_once(queued):
    enqueue(TASK, 7, countdown=5, since=datetime.date(2026, 1, 2))
    assert queued == [(TASK, (7,), {"since": "2026-01-02"}, 5)]
    assert queued.names == [TASK]
    queued.clear()
    assert len(queued) == 0


@pytest.mark.django_db(transaction=True)
def test_a_task_is_queued_after_the_commit(queued):
    with transaction.atomic():
        enqueue(TASK, 7)
        assert queued._tasks == []
    assert queued == [(TASK, (7,), {}, None)]


@pytest.mark.django_db
def test_a_rolled_back_transaction_queues_nothing(queued):
    with transaction.atomic():
        enqueue(TASK, 7)
        transaction.set_rollback(True)
    assert queued == []
    with transaction.atomic():
        enqueue(TASK, 8)
    assert queued == [(TASK, (8,), {}, None)]


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_does_not_undo_what_was_saved(monkeypatch, caplog):
    def broken(*_args, **_options):
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks, "publish", broken)
    with transaction.atomic():
        enqueue(TASK, 7)
    enqueue(TASK, 8)
    assert "no broker" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_task_has_the_id_that_was_told(monkeypatch):
    seen = {}
    monkeypatch.setattr(tasks, "publish", lambda name, **options: seen.update(options))
    assert enqueue(TASK, 7, headers={"a": "b"}) == seen["task_id"]
    assert seen["headers"] == {"a": "b"}


@pytest.mark.django_db(transaction=True)
def test_eager_tasks_run_where_they_are_queued(monkeypatch):
    ran = []

    @task("tests.eager")
    def run(identifier):
        ran.append(identifier)

    monkeypatch.setitem(celery_app.conf.task_routes, "tests.eager", {"queue": "eager"})
    monkeypatch.setitem(celery_app.conf.changes, "task_always_eager", True)
    enqueue("tests.eager", 7)
    celery_app.tasks.unregister("tests.eager")
    assert ran == [7]


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (None, None),
        ("2026-01-02", datetime.date(2026, 1, 2)),
        ("2021-06-09T23:00:00-05:00", datetime.date(2021, 6, 9)),
        (datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (datetime.datetime(2026, 1, 2, 23, tzinfo=datetime.UTC), datetime.date(2026, 1, 2)),
    ],
)
def test_dates_are_read_from_iso_text(value, date):
    assert parse_date(value) == date


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (None, None),
        ("2026-01-02", datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
        ("2026-01-02T03:04:05", datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
        ("2026-01-02T03:04:05Z", datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
        ("2026-01-02T03:04:05+02:00", datetime.datetime(2026, 1, 2, 1, 4, 5, tzinfo=datetime.UTC)),
        (datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
        (
            datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
            datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
        ),
    ],
)
def test_instants_are_read_from_iso_text(value, moment):
    assert parse_datetime(value) == moment


@pytest.mark.parametrize("parse", [parse_date, parse_datetime])
@pytest.mark.parametrize("text", ["potato", "", "2026-13-40", "20-20-20"])
def test_what_is_not_iso_text_is_refused(parse, text):
    with pytest.raises(ValueError):
        parse(text)


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_what_is_queued_is_what_is_read(moment):
    assert parse_datetime(plain(moment)) == moment


@time_machine.travel("2026-05-04T23:59:59Z", tick=False)
def test_the_clock_is_utc():
    assert clock.now().tzinfo is datetime.UTC
    assert clock.today() == datetime.date(2026, 5, 4)
