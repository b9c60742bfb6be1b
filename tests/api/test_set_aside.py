"""Tasks that are set aside, and what operators can do (decision 43).

With real workers: tests/cloudigrade/test_deadly_tasks.py.
"""

import json

import pytest
from django.core.management import CommandError, call_command

from api import set_aside
from api.models import SetAsideTask
from cloudigrade import celery_app
from tests.api.internal.callers import ANYBODY
from util import task_starts
from util.task_starts import Keeper, SetAsideError
from util.tasks import RetryPolicy, enqueue, task

pytestmark = pytest.mark.django_db

PROBE = "tests.set_aside.probe"
ROUTED = "api.tasks.enable_account"
IDENTITY = "eyJpZGVudGl0eSI6eyJhY2NvdW50X251bWJlciI6IjEifX0="


@task(PROBE, retry=RetryPolicy(errors=(ConnectionError,)))
def probe(*arguments, fail=None):
    if fail:
        raise fail
    return list(arguments)


@pytest.fixture(autouse=True)
def counting(redis_client, monkeypatch):
    monkeypatch.setattr(task_starts, "_keeper", Keeper(set_aside.work_of, set_aside.keep))


class Request:
    """What Celery has a task run with."""

    def __init__(self, task_id="task-1", retries=0, **headers):
        self.request = {
            "id": task_id,
            "retries": retries,
            "headers": headers,
            "delivery_info": {"exchange": "", "routing_key": "enable_account"},
            "args": [1, {"x-rh-identity": IDENTITY}],
            "kwargs": {},
        }

    def start(self):
        """Begin the task in a process that is lost before it ends it."""
        probe.push_request(**self.request, called_directly=False, is_eager=False)
        try:
            probe.before_start(self.request["id"], (), {})
        finally:
            probe.pop_request()

    def end(self, state, retval=None):
        probe.push_request(**self.request, called_directly=False, is_eager=False)
        try:
            task_starts._end(probe, state=state, retval=retval)
        finally:
            probe.pop_request()


def starts_before_set_aside(*requests):
    for number, request in enumerate(requests):
        try:
            request.start()
        except SetAsideError:
            return number
    return None


def test_the_fourth_start_is_none():
    assert starts_before_set_aside(*[Request()] * 5) == 3
    kept = SetAsideTask.objects.get()
    assert (kept.work, kept.task_id, kept.name) == ("task-1", "task-1", PROBE)
    assert kept.lost_processes == 3


def test_what_is_shown_of_a_task_has_no_identity():
    starts_before_set_aside(*[Request()] * 4)
    kept = SetAsideTask.objects.get()
    assert kept.message["args"][1]["x-rh-identity"] == IDENTITY
    assert IDENTITY not in kept.arguments
    [row] = ANYBODY.rows("setasidetasks/")
    assert IDENTITY not in json.dumps(row)
    assert json.loads(row["arguments"])["args"][0] == 1


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REJECTED", "IGNORED"])
def test_a_task_that_ends_starts_from_nothing(redis_client, state):
    request = Request()
    for _ in range(3):
        request.start()
    request.end(state)
    assert redis_client.keys("test-task-starts-*") == []
    assert starts_before_set_aside(*[request] * 5) == 3


@pytest.mark.parametrize(
    ("state", "retval"), [(None, None), ("FAILURE", MemoryError()), ("RETRY", None)]
)
def test_what_is_no_end_of_a_task_forgets_nothing(state, retval):
    request = Request()
    for _ in range(3):
        request.start()
        request.end(state, retval)
    with pytest.raises(SetAsideError):
        request.start()


def test_repetitions_are_no_lost_processes():
    repeated = [Request(retries=number) for number in range(36)]
    assert starts_before_set_aside(*repeated) is None


def test_lost_processes_of_all_repetitions_are_added_up():
    requests = [Request(retries=number) for number in (0, 0, 1, 1, 2, 2)]
    assert starts_before_set_aside(*requests) == 5


def test_work_that_is_queued_again_as_another_message_is_the_same_work():
    """An outbox entry is queued again by the sweep, as a task with another id."""
    headers = {"outbox_key": "a", "outbox_task_id": "1-2-3"}
    requests = [Request(task_id=f"task-{number}", **headers) for number in range(5)]
    assert starts_before_set_aside(*requests) == 3
    assert SetAsideTask.objects.get().work == "outbox-1-2-3"


def test_stored_messages_count_their_lost_workers_themselves():
    assert starts_before_set_aside(*[Request(inbox_id="7")] * 9) is None


def test_whoever_does_not_count_begins_everything(monkeypatch):
    monkeypatch.setattr(task_starts, "_keeper", None)
    assert starts_before_set_aside(*[Request()] * 9) is None


def test_without_redis_a_task_is_begun(monkeypatch):
    monkeypatch.setattr(task_starts.redis, "client", celery_app.broker_connection)
    away = type("Away", (), {"pipeline": lambda self: fail(), "delete": lambda self, key: fail()})

    def fail():
        raise task_starts.RedisError

    monkeypatch.setattr(task_starts.redis, "client", away)
    request = Request()
    request.start()
    request.end("SUCCESS")


def test_release_queues_the_task_as_it_was(redis_client):
    headers = {"outbox_key": "a", "outbox_task_id": "1-2-3"}
    starts_before_set_aside(*[Request(retries=2, **headers)] * 4)
    assert set_aside.release(set_aside.waiting()) == 1
    message = json.loads(redis_client.lindex("test-enable_account", 0))
    assert message["headers"]["id"] == "task-1"
    assert message["headers"]["retries"] == 2
    assert message["headers"]["outbox_task_id"] == "1-2-3"
    assert message["headers"]["expires"] is None
    assert redis_client.keys("test-task-starts-*") == []
    assert not set_aside.waiting()
    assert set_aside.count_by_name() == {}


def test_what_cannot_be_queued_stays_set_aside(monkeypatch):
    starts_before_set_aside(*[Request()] * 4)

    def away(*_arguments, **_options):
        raise ConnectionError

    monkeypatch.setattr("celery.canvas.Signature.apply_async", away)
    with pytest.raises(ConnectionError):
        set_aside.release(set_aside.waiting())
    assert set_aside.count_by_name() == {PROBE: 1}


class TestCommand:
    @pytest.fixture
    def kept(self):
        for task_id in ("task-1", "task-2"):
            starts_before_set_aside(*[Request(task_id)] * 4)
        return list(set_aside.waiting())

    def run(self, capsys, *arguments):
        call_command("set_aside_tasks", *arguments)
        return capsys.readouterr().out

    def test_list(self, kept, capsys):
        lines = self.run(capsys).splitlines()
        assert len(lines) == 4
        assert PROBE in lines[1]
        assert lines[-1] == "2 tasks are set aside."

    def test_json(self, kept, capsys):
        rows = [json.loads(line) for line in self.run(capsys, "--json").splitlines()]
        assert [row["task_id"] for row in rows] == ["task-1", "task-2"]
        assert rows[0]["lost_processes"] == 3
        assert self.run(capsys, "--release", "--all", "--json") == '{"released": 2}\n'

    def test_one_is_released(self, kept, capsys, redis_client):
        assert self.run(capsys, "--release", str(kept[0].id)) == "1 tasks are queued again.\n"
        assert [task.task_id for task in set_aside.waiting()] == ["task-2"]
        assert redis_client.llen("test-enable_account") == 1

    @pytest.mark.parametrize("arguments", [["--release"], ["--release", "--all", "1"], ["999"]])
    def test_what_makes_no_sense_is_refused(self, kept, arguments):
        with pytest.raises(CommandError) as refused:
            call_command("set_aside_tasks", *arguments)
        assert refused.value.returncode == 2
        assert set_aside.waiting().count() == 2


def test_a_task_by_its_name_is_new_work(queued):
    """An operator may also queue the task anew by ``POST /internal/tasks/``."""
    starts_before_set_aside(*[Request()] * 4)
    assert enqueue(ROUTED, 1) not in {kept.task_id for kept in set_aside.waiting()}
