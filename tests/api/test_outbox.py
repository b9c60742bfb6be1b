"""Tasks that are done even if Redis loses them (spec 08 DR-1)."""

import datetime

import pytest

from api import outbox
from api.clouds.provider import TransientCloudError
from api.models import Errand, SetAsideTask
from api.outbox import Tie
from tests.api.passing_time import is_spaced_ever_wider, time_passes
from util import tasks as util_tasks

pytestmark = pytest.mark.django_db

TASK = "api.tasks.enable_account"


@pytest.fixture
def ties(monkeypatch, queued):
    """The ties of the tasks queued, in order."""

    class Ties(list):
        def publish(self, name, **options):
            self.append(Tie.of(options["headers"]))
            queued.publish(name, **options)

    found = Ties()
    monkeypatch.setattr(util_tasks, "publish", found.publish)
    return found


def send(queued, *args):
    outbox.send("a", TASK, *args)
    return len(queued)


def test_errand_is_queued_and_remembered(queued, ties):
    send(queued, 1, datetime.date(2026, 1, 1))
    assert queued == [(TASK, (1, "2026-01-01"), {}, None)]
    errand = Errand.objects.get()
    assert (errand.key, errand.task, errand.args) == ("a", TASK, [1, "2026-01-01"])
    assert ties == [("a", str(errand.ticket))]


def test_errand_that_killed_its_workers_waits_for_an_operator(queued, ties):
    """Decision 43: not queued again and again by the sweep."""
    send(queued, 1)
    queued.clear()
    time_passes(3600)
    work = f"errand-{Errand.objects.get().ticket}"
    columns = {"message": {}, "lost_processes": 3, "name": TASK, "task_id": "1"}
    kept = SetAsideTask.objects.create(work=work, **columns)
    assert outbox.queue_lost() == 0
    kept.released_at = kept.created_at
    kept.save()
    assert outbox.queue_lost() == 1


def test_headers_without_a_tie():
    for headers in (None, {}, {"errand": "a"}, {"errand": "", "errand_ticket": "x"}):
        assert Tie.of(headers) is None
    assert outbox.take_up(None, again=True)
    outbox.finish(None)


def test_errand_is_done_once(queued, ties):
    send(queued, 1)
    (tie,) = ties
    assert outbox.take_up(tie, again=False)
    assert outbox.take_up(tie, again=True)
    assert outbox.last_done("a") is None
    outbox.finish(tie)
    assert outbox.last_done("a") is not None
    assert not outbox.take_up(tie, again=False)
    assert outbox.statistics() == (0, 0.0)


def test_late_errand_gives_way_to_a_newer_one(queued, ties):
    send(queued, 1)
    send(queued, 2)
    old, new = ties
    assert outbox.take_up(old, again=False)
    assert not outbox.take_up(old, again=True)
    outbox.finish(old)
    assert outbox.statistics().open == 1
    assert outbox.take_up(new, again=True)
    outbox.finish(new)
    assert not outbox.take_up(old, again=False)


def test_what_waits_is_not_sent_again(queued, ties):
    """Decision 46: a description is queued at once, and once only while it waits."""
    wanted = {"b": (2,), "a": (1,)}
    assert outbox.send_unless_waiting(TASK, wanted) == 2
    assert outbox.send_unless_waiting(TASK, {"a": (1,), "c": (3,)}) == 1
    assert queued == [(TASK, (1,), {}, None), (TASK, (2,), {}, None), (TASK, (3,), {}, None)]
    assert Errand.objects.get(key="b").args == [2]


def test_what_has_begun_is_followed_by_another(queued, ties):
    outbox.send_unless_waiting(TASK, {"a": (1,)})
    assert len(queued) == 1
    assert outbox.take_up(ties[0], again=False, within=60)
    assert outbox.send_unless_waiting(TASK, {"a": (1,)}) == 1
    assert len(queued) == 2
    outbox.finish(ties[0])
    assert outbox.statistics().open == 1
    assert outbox.take_up(ties[1], again=False, within=60)
    outbox.finish(ties[1])
    assert outbox.send_unless_waiting(TASK, {"a": (1,)}) == 1


def test_nothing_is_sent_for_nothing(queued):
    assert outbox.send_unless_waiting(TASK, {}) == 0
    assert queued == []


def test_forgotten_errand_is_done(ties):
    assert outbox.take_up(Tie("b", "x"), again=True)


class Request:
    """The request of a running task."""

    def __init__(self, tie, retries=0):
        self.headers = {"errand": tie.key, "errand_ticket": tie.ticket}
        self.retries = retries


class TestCarryingOut:
    def test_work_that_succeeds(self, queued, ties):
        send(queued, 1)
        for expected in (True, False):
            with outbox.carry_out(Request(ties[0])) as wanted:
                assert wanted == expected

    @pytest.mark.parametrize(("error", "is_final"), [(KeyError, True), (ValueError, False)])
    def test_work_that_fails(self, queued, ties, error, is_final):
        send(queued, 1)
        with (
            pytest.raises(error),
            outbox.carry_out(Request(ties[0]), final=(LookupError,)),
        ):
            raise error
        assert (outbox.last_done("a") is not None) == is_final

    def test_why_work_failed_is_written_down_until_it_is_sent_anew(self, queued, ties):
        """Spec 12 §2: attempts and last error, without secrets."""
        identity = "eyJpZGVudGl0eSI6eyJhY2NvdW50X251bWJlciI6IjEifX0="
        send(queued, 1)
        for text in ("first", f"second\0 {identity} " + "x" * 2000):
            with pytest.raises(ValueError), outbox.carry_out(Request(ties[0])):
                raise ValueError(text)
        errand = Errand.objects.get()
        assert errand.attempts == 2
        assert errand.last_error.startswith("ValueError: second ***")
        assert len(errand.last_error) == outbox.LONGEST_ERROR
        send(queued, 2)
        errand.refresh_from_db()
        assert (errand.attempts, errand.last_error) == (0, "")

    def test_long_work_is_not_taken_for_lost(self, queued, ties):
        send(queued, 1)
        with pytest.raises(ValueError), outbox.carry_out(Request(ties[0]), within=1800):
            raise ValueError
        time_passes(1800)
        assert outbox.queue_lost() == 0
        time_passes(601)
        assert outbox.queue_lost() == 1

    def test_work_that_has_to_wait_is_not_taken_for_lost(self, queued, ties):
        """Decision 51: a cloud that asks for an hour is not asked sooner by the sweep."""
        error = TransientCloudError(retry_after=3600)
        send(queued, 1)
        with pytest.raises(TransientCloudError), outbox.carry_out(Request(ties[0]), within=9):
            raise error
        time_passes(3600)
        assert outbox.queue_lost() == 0
        time_passes(601)
        assert outbox.queue_lost() == 1


class TestLost:
    def test_lost_errands_are_queued_again_ever_more_rarely(self, queued, ties, settings):
        settings.INBOX_REQUEUE_SECONDS = 60
        send(queued, 1)
        found = []
        for second in range(10, 2400, 10):
            time_passes(10)
            if outbox.queue_lost():
                found.append(second)
        assert is_spaced_ever_wider(found, first=60, step=10, most=600)
        assert found[-1] > 1800
        assert len(set(ties)) == 1
        assert len(queued) == 1 + len(found)

    def test_errand_that_is_heard_of_is_not_lost(self, queued, ties):
        send(queued, 1)
        time_passes(70)
        assert outbox.take_up(ties[0], again=True)
        assert outbox.queue_lost() == 0
        outbox.finish(ties[0])
        time_passes(4000)
        assert outbox.queue_lost() == 0

    def test_broker_that_is_away_is_an_error(self, queued, monkeypatch):
        send(queued, 1)
        time_passes(70)
        monkeypatch.setattr(outbox, "enqueue", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            outbox.queue_lost()
        monkeypatch.undo()
        assert outbox.queue_lost() == 1
        assert outbox.statistics() == (1, pytest.approx(70, abs=60))


def test_what_was_done_long_ago_is_forgotten(queued, ties):
    send(queued, 1)
    outbox.send("open", TASK, 2)
    outbox.finish(ties[0])
    time_passes(29 * 86400)
    assert outbox.prune() == 0
    time_passes(2 * 86400)
    assert outbox.prune() == 1
    assert Errand.objects.get().key == "open"
