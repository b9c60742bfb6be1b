"""Routes that keep runs and usage right: scenarios 23, 24 and 35 (spec 02 §14)."""

import pytest

from api.models import InstanceEvent
from tests.api.internal.callers import ANYBODY, B
from tests.factories import make_event, make_instance, make_run, make_user, utc

pytestmark = pytest.mark.django_db

RUNS_TASK = "api.tasks.recalculate_runs_for_"
USAGE_TASK = "api.tasks.recalculate_concurrent_usage_for_"
FAILED = "Failed to parse given input."


def _asked(queued, path: str, body: dict) -> list[tuple]:
    queued.clear()
    response = ANYBODY.post(f"/internal/{path}/", body)
    assert (response.status_code, response.content) == (202, b"")
    return [task[:2] for task in queued]


def test_scenario_23_runs_of_one_account_or_all(db, queued):
    one = _asked(queued, "recalculate_runs", {"cloud_account_id": "420", "since": "2021-06-09"})
    assert one == [(f"{RUNS_TASK}cloud_account_id", (420, "2021-06-09T00:00:00+00:00"))]
    assert _asked(queued, "recalculate_runs", {}) == [(f"{RUNS_TASK}all_cloud_accounts", (None,))]
    response = ANYBODY.post("/internal/recalculate_runs/", {"cloud_account_id": "potato"})
    assert (response.status_code, response.json()) == (400, {"cloud_account_id": FAILED})


@pytest.mark.parametrize("nothing", [None, "", 0, "0"])
def test_what_is_false_counts_as_not_given(db, queued, nothing):
    """02 §7."""
    body = {"cloud_account_id": nothing, "since": None if nothing == "0" else nothing}
    assert _asked(queued, "recalculate_runs", body) == [(f"{RUNS_TASK}all_cloud_accounts", (None,))]


def test_given_offsets_are_honoured(db, queued):
    [(_, args)] = _asked(queued, "recalculate_runs", {"since": "2021-06-09 04:02:00+04"})
    assert args == ("2021-06-09T00:02:00+00:00",)


def test_scenario_24_usage_of_one_user_or_all(db, queued):
    one = _asked(queued, "recalculate_concurrent_usage", {"user_id": "420"})
    assert one == [(f"{USAGE_TASK}user_id", (420, None))]
    late = {"since": "2021-06-09T23:00:00-05:00"}
    assert _asked(queued, "recalculate_concurrent_usage", late) == [
        (f"{USAGE_TASK}all_users", ("2021-06-09",))
    ]


@pytest.mark.parametrize(
    "since",
    [
        "potato",
        "yesterday",
        -1,
        1,
        0.5,
        True,
        {"a": 1},
        ["2021-06-09"],
        "20-20-20",
        "2022-69-420",
        "2022-10-28 12:34:56 +69420",
        "2022-10-28 12:34:56 BRST",
        "0001-01-01T00:00:00+14:00",
        "1" * 400,
    ],
)
def test_times_that_are_none(db, queued, since):
    """02 §7, 07 §4.4."""
    response = ANYBODY.post("/internal/recalculate_runs/", {"since": since})
    assert (response.status_code, response.json()) == (400, {"since": FAILED})
    assert queued == []


@pytest.mark.parametrize("number", ["potato", 1.5, [1], {"a": 1}, True, 10**30, "1" * 5000])
def test_ids_that_are_none(db, queued, number):
    for path, name in (
        ("recalculate_runs", "cloud_account_id"),
        ("recalculate_concurrent_usage", "user_id"),
    ):
        response = ANYBODY.post(f"/internal/{path}/", {name: number, "since": "potato"})
        assert (response.status_code, response.json()) == (400, {name: FAILED})


@pytest.fixture
def problem(story):
    """An open run whose instance was switched off later; gives the run."""
    instance = make_instance(account=story.aws)
    run = make_run(instance=instance, start=utc("2022-06-02"))
    make_event(
        instance=instance,
        event_type=InstanceEvent.Type.POWER_OFF,
        occurred_at=utc("2022-06-03"),
    )
    return run


def test_scenario_35_problematic_runs_are_listed_and_fixed(story, problem, queued):
    listed = ANYBODY.get(f"{B}/problematic_runs/").json()
    [run] = ANYBODY.rows("runs/")
    assert listed == [run]
    assert run["id"] == problem.id
    done = ANYBODY.post(f"{B}/problematic_runs/", {})
    assert (done.status_code, list(done.json())) == (202, ["async_result_id"])
    assert queued == [("api.tasks.fix_problematic_runs", ([problem.id],), {}, None)]
    queued.clear()
    other = ANYBODY.post(f"{B}/problematic_runs/", {"user_id": story.user2.id})
    assert other.status_code == 202
    assert queued == []


def test_scenario_35_problematic_runs_of_one_user(story, problem):
    def listed(user_id) -> list:
        return ANYBODY.get(f"{B}/problematic_runs/?user_id={user_id}").json()

    assert [run["id"] for run in listed(story.user1.id)] == [problem.id]
    assert [run["id"] for run in listed("")] == [problem.id]
    assert listed(make_user().id) == []
    assert listed(987654321) == []
    assert listed(0) == []
    assert listed("potato") == {"user_id": ["A valid integer is required."]}
    potato = ANYBODY.post(f"{B}/problematic_runs/", {"user_id": "potato"})
    assert (potato.status_code, list(potato.json())) == (400, ["user_id"])
