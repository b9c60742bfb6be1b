"""Users, their locks, the schedule: scenarios 13, 14 and 22 (spec 02 §5.5, §14)."""

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from api.models import User, UserTaskLock
from tests.api.internal.callers import ANYBODY, B
from tests.factories import make_user, utc

pytestmark = pytest.mark.django_db


def test_scenario_13_users_are_made_once_and_deleted_at_will(db):
    body = {"account_number": "1", "org_id": "2", "is_permanent": True}
    made = ANYBODY.post(f"{B}/users/", body)
    assert made.status_code == 201
    user = made.json()
    assert (user["username"], user["is_permanent"]) == ("1", True)
    assert UserTaskLock.objects.filter(user_id=user["id"]).exists()
    again = ANYBODY.post(f"{B}/users/", body)
    assert again.status_code == 400
    assert again.json() == {
        "account_number": ["user with this Account Number already exists."],
        "org_id": ["user with this Org Id already exists."],
    }
    deleted = ANYBODY.delete(f"{B}/users/{user['id']}/")
    assert (deleted.status_code, deleted.content) == (202, b"")
    assert ANYBODY.get(f"{B}/users/{user['id']}/").status_code == 404


def test_scenario_14_users_with_accounts_stay(story):
    response = ANYBODY.delete(f"{B}/users/{story.user1.id}/")
    assert response.status_code == 400
    text = f"User id {story.user1.id} has related CloudAccounts and cannot be deleted"
    assert response.json() == {"error": text}
    assert User.objects.filter(id=story.user1.id).exists()


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"non_field_errors": ["account_number or org_id is required."]}),
        ({"account_number": ""}, {"account_number": ["This field may not be blank."]}),
        (
            {"org_id": "1" * 151},
            {"org_id": ["Ensure this field has no more than 150 characters."]},
        ),
    ],
)
def test_users_need_a_number_that_fits(db, body, errors):
    """02 §5.5, README decision 8."""
    response = ANYBODY.post(f"{B}/users/", body)
    assert (response.status_code, response.json()) == (400, errors)
    assert not User.objects.exists()


def test_changing_a_user_leaves_alone_what_is_not_sent(db):
    """02 §5.5: PUT as well as PATCH."""
    user = make_user(account_number="1", org_id="2", is_permanent=True)
    url = f"{B}/users/{user.id}/"
    response = ANYBODY.put(url, {"org_id": "3", "id": 99, "username": "x"})
    assert response.status_code == 200
    changed = response.json()
    assert (changed["id"], changed["account_number"], changed["org_id"]) == (user.id, "1", "3")
    assert changed["is_permanent"] is True
    joined = ANYBODY.patch(url, {"date_joined": "2020-02-03T04:05:06+01:00"}).json()
    assert joined["date_joined"] == "2020-02-03T03:05:06Z"
    other = make_user(account_number="7", org_id="8")
    taken = ANYBODY.patch(url, {"uuid": other.uuid, "org_id": "8"})
    assert taken.json() == {
        "uuid": ["user with this User Unique Id already exists."],
        "org_id": ["user with this Org Id already exists."],
    }
    nobody = ANYBODY.patch(url, {"account_number": None, "org_id": None})
    assert nobody.status_code == 400


def test_a_stuck_lock_can_be_removed(story):
    """02 §5.5."""
    lock = story.user1.task_lock
    assert ANYBODY.delete(f"{B}/usertasklocks/{lock.id}/").status_code == 204
    assert ANYBODY.get(f"{B}/usertasklocks/{lock.id}/").status_code == 404


@pytest.fixture
def periodic_task(db) -> PeriodicTask:
    every = IntervalSchedule.objects.create(every=5, period="minutes")
    return PeriodicTask.objects.create(name="some", task="api.tasks.some", interval=every)


def test_scenario_22_only_the_last_run_of_a_periodic_task_can_be_set(periodic_task, time_machine):
    time_machine.move_to(utc("2022-06-10T15:00:00"), tick=False)
    url = f"{B}/periodictasks/{periodic_task.id}/"
    noticed = PeriodicTasks.last_change()
    body = {"last_run_at": "2022-01-01T00:00:00Z", "enabled": False}
    response = ANYBODY.patch(url, body)
    assert response.status_code == 200
    assert response.json()["last_run_at"] == "2022-01-01T00:00:00Z"
    assert response.json()["enabled"] is True
    assert PeriodicTasks.last_change() != noticed
    assert ANYBODY.delete(url).status_code == 405
    missing = ANYBODY.put(url, {"name": "other"})
    assert (missing.status_code, missing.json()) == (
        400,
        {"last_run_at": ["This field is required."]},
    )
    null = ANYBODY.patch(url, {"last_run_at": None})
    assert null.json() == {"last_run_at": ["This field may not be null."]}


def test_a_disabled_periodic_task_keeps_its_last_run(periodic_task):
    """The model's own ``save`` would forget it."""
    PeriodicTask.objects.update(enabled=False)
    url = f"{B}/periodictasks/{periodic_task.id}/"
    response = ANYBODY.patch(url, {"last_run_at": "2022-01-01T00:00:00Z"})
    assert response.json()["last_run_at"] == "2022-01-01T00:00:00Z"
    assert response.json()["enabled"] is False
