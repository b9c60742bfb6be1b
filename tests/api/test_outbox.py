"""Tasks that are done even if Redis loses them (spec 08 DR-1)."""

import datetime
import time

import pytest

from api import outbox
from api.clouds.provider import TransientCloudError
from api.models import OutboxEntry, SetAsideTask
from api.outbox import TaskLink
from tests.api.passing_time import is_spaced_ever_wider, time_passes
from util import tasks as util_tasks

pytestmark = pytest.mark.django_db

TASK = "api.tasks.enable_account"


@pytest.fixture
def headers(monkeypatch, queued):
    """The headers of the tasks queued, in order."""

    class Ties(list):
        def publish(self, name, **options):
            self.append(TaskLink.of(options["headers"]))
            queued.publish(name, **options)

    found = Ties()
    monkeypatch.setattr(util_tasks, "publish", found.publish)
    return found


def send(queued, *args):
    outbox.send("a", TASK, *args)
    return len(queued)


def test_entry_is_queued_and_remembered(queued, headers):
    send(queued, 1, datetime.date(2026, 1, 1))
    assert queued == [(TASK, (1, "2026-01-01"), {}, None)]
    entry = OutboxEntry.objects.get()
    assert (entry.key, entry.task, entry.args) == ("a", TASK, [1, "2026-01-01"])
    assert headers == [("a", str(entry.task_id))]


def test_entry_that_killed_its_workers_waits_for_an_operator(queued, headers):
    """Decision 43: not queued again and again by the sweep."""
    send(queued, 1)
    queued.clear()
    time_passes(3600)
    work = f"outbox-{OutboxEntry.objects.get().task_id}"
    columns = {"message": {}, "lost_processes": 3, "name": TASK, "task_id": "1"}
    kept = SetAsideTask.objects.create(work=work, **columns)
    assert outbox.queue_lost() == 0
    kept.released_at = kept.created_at
    kept.save()
    assert outbox.queue_lost() == 1


def test_headers_without_a_link():
    for headers in (None, {}, {"outbox_key": "a"}, {"outbox_key": "", "outbox_task_id": "x"}):
        assert TaskLink.of(headers) is None
    assert outbox.claim(None, again=True)
    outbox.finish(None)


def test_entry_is_done_once(queued, headers):
    send(queued, 1)
    (link,) = headers
    assert outbox.claim(link, again=False)
    assert outbox.claim(link, again=True)
    assert outbox.last_done("a") is None
    outbox.finish(link)
    assert outbox.last_done("a") is not None
    assert not outbox.claim(link, again=False)
    assert outbox.statistics() == (0, 0.0)


def test_late_entry_gives_way_to_a_newer_one(queued, headers):
    send(queued, 1)
    send(queued, 2)
    old, new = headers
    assert outbox.claim(old, again=False)
    assert not outbox.claim(old, again=True)
    outbox.finish(old)
    assert outbox.statistics().open == 1
    assert outbox.claim(new, again=True)
    outbox.finish(new)
    assert not outbox.claim(old, again=False)


def test_what_waits_is_not_sent_again(queued, headers):
    """Decision 46: a description is queued at once, and once only while it waits."""
    wanted = {"b": (2,), "a": (1,)}
    assert outbox.send_unless_waiting(TASK, wanted) == 2
    assert outbox.send_unless_waiting(TASK, {"a": (1,), "c": (3,)}) == 1
    assert queued == [(TASK, (1,), {}, None), (TASK, (2,), {}, None), (TASK, (3,), {}, None)]
    assert OutboxEntry.objects.get(key="b").args == [2]


def test_what_has_begun_is_followed_by_another(queued, headers):
    outbox.send_unless_waiting(TASK, {"a": (1,)})
    assert len(queued) == 1
    assert outbox.claim(headers[0], again=False, within=60)
    assert outbox.send_unless_waiting(TASK, {"a": (1,)}) == 1
    assert len(queued) == 2
    outbox.finish(headers[0])
    assert outbox.statistics().open == 1
    assert outbox.claim(headers[1], again=False, within=60)
    outbox.finish(headers[1])
    assert outbox.send_unless_waiting(TASK, {"a": (1,)}) == 1


def test_nothing_is_sent_for_nothing(queued):
    assert outbox.send_unless_waiting(TASK, {}) == 0
    assert queued == []


def test_forgotten_entry_is_done(headers):
    assert outbox.claim(TaskLink("b", "x"), again=True)


class Request:
    """The request of a running task."""

    def __init__(self, link, retries=0):
        self.headers = {"outbox_key": link.key, "outbox_task_id": link.task_id}
        self.retries = retries


class TestCarryingOut:
    def test_work_that_succeeds(self, queued, headers):
        send(queued, 1)
        for expected in (True, False):
            with outbox.run(Request(headers[0])) as wanted:
                assert wanted == expected

    @pytest.mark.parametrize(("error", "is_final"), [(KeyError, True), (ValueError, False)])
    def test_work_that_fails(self, queued, headers, error, is_final):
        send(queued, 1)
        with (
            pytest.raises(error),
            outbox.run(Request(headers[0]), final=(LookupError,)),
        ):
            raise error
        assert (outbox.last_done("a") is not None) == is_final

    def test_why_work_failed_is_written_down_until_it_is_sent_anew(self, queued, headers):
        """Spec 12 §2: attempts and last error, without secrets."""
        identity = "eyJpZGVudGl0eSI6eyJhY2NvdW50X251bWJlciI6IjEifX0="
        send(queued, 1)
        for text in ("first", f"second\0 {identity} " + "x" * 2000):
            with pytest.raises(ValueError), outbox.run(Request(headers[0])):
                raise ValueError(text)
        entry = OutboxEntry.objects.get()
        assert entry.attempts == 2
        assert entry.last_error.startswith("ValueError: second ***")
        assert len(entry.last_error) == outbox.LONGEST_ERROR
        send(queued, 2)
        entry.refresh_from_db()
        assert (entry.attempts, entry.last_error) == (0, "")

    @pytest.mark.django_db(transaction=True)
    def test_work_is_not_taken_for_lost_while_it_is_done(self, queued, headers, settings):
        """However long it takes: its claim is renewed."""
        settings.INBOX_LEASE_SECONDS = 0.3
        send(queued, 1)
        with outbox.run(Request(headers[0])):
            seen = set()
            while len(seen) < 4:
                seen.add(OutboxEntry.objects.get().queued_at)
                time.sleep(0.01)

    def test_work_whose_worker_is_lost_is_queued_again(self, queued, headers, settings):
        """Its process was killed, and Redis lost it: a soak waited half an hour for that."""
        settings.INBOX_LEASE_SECONDS = 30
        settings.INBOX_REQUEUE_SECONDS = 60
        send(queued, 1)
        killed = outbox.run(Request(headers[0]))
        assert killed.__enter__()
        time_passes(60)
        assert outbox.queue_lost() == 0
        time_passes(31)
        assert outbox.queue_lost() == 1

    def test_work_whose_repetition_is_lost_is_queued_again(self, queued, headers, settings):
        """It failed, was to be repeated in a second, and Redis lost that."""
        settings.INBOX_REQUEUE_SECONDS = 60
        send(queued, 1)
        with pytest.raises(ValueError), outbox.run(Request(headers[0])):
            raise ValueError
        time_passes(59)
        assert outbox.queue_lost() == 0
        time_passes(2)
        assert outbox.queue_lost() == 1

    def test_failed_work_is_followed_by_another(self, queued, headers):
        """Decision 46: a repetition goes on where it was, and may have passed the new launch."""
        outbox.send_unless_waiting(TASK, {"a": (1,)})
        assert len(queued) == 1
        with pytest.raises(ValueError), outbox.run(Request(headers[0])):
            raise ValueError
        time_passes(1)
        assert outbox.send_unless_waiting(TASK, {"a": (1,)}) == 1
        assert len(queued) == 2
        with outbox.run(Request(headers[0], retries=1)) as wanted:
            assert not wanted, "the other does it all"
        assert outbox.send_unless_waiting(TASK, {"a": (1,)}) == 0
        with outbox.run(Request(headers[1])) as wanted:
            assert wanted

    def test_work_that_has_to_wait_is_not_taken_for_lost(self, queued, headers):
        """Decision 51: a cloud that asks for an hour is not asked sooner by the sweep."""
        error = TransientCloudError(retry_after=3600)
        send(queued, 1)
        with pytest.raises(TransientCloudError), outbox.run(Request(headers[0])):
            raise error
        time_passes(3600)
        assert outbox.queue_lost() == 0
        time_passes(601)
        assert outbox.queue_lost() == 1


class TestLost:
    def test_lost_entries_are_queued_again_ever_more_rarely(self, queued, headers, settings):
        settings.INBOX_REQUEUE_SECONDS = 60
        send(queued, 1)
        found = []
        for second in range(10, 2400, 10):
            time_passes(10)
            if outbox.queue_lost():
                found.append(second)
        assert is_spaced_ever_wider(found, first=60, step=10, most=600)
        assert found[-1] > 1800
        assert len(set(headers)) == 1
        assert len(queued) == 1 + len(found)

    def test_entry_that_is_heard_of_is_not_lost(self, queued, headers):
        send(queued, 1)
        time_passes(70)
        assert outbox.claim(headers[0], again=True)
        assert outbox.queue_lost() == 0
        outbox.finish(headers[0])
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


def test_what_was_done_long_ago_is_forgotten(queued, headers):
    send(queued, 1)
    outbox.send("open", TASK, 2)
    outbox.finish(headers[0])
    time_passes(29 * 86400)
    assert outbox.prune() == 0
    time_passes(2 * 86400)
    assert outbox.prune() == 1
    assert OutboxEntry.objects.get().key == "open"
