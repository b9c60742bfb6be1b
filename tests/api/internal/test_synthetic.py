"""Requests for synthetic customers: scenario 34 (spec 02 §5.6, §14)."""

import pytest

from api.models import SyntheticDataRequest
from tests.api.internal.callers import ANYBODY, B
from tests.factories import make_account, make_aws_image, make_user, utc

pytestmark = pytest.mark.django_db

URL = f"{B}/syntheticdatarequests/"


def test_scenario_34_a_synthetic_customer_is_asked_for(db, queued, time_machine):
    time_machine.move_to(utc("2022-06-10T15:00:00"), tick=False)
    response = ANYBODY.post(URL, {"cloud_type": "aws"})
    assert response.status_code == 201
    made = response.json()
    assert list(made) == [
        "id",
        "is_ready",
        "user",
        "machine_images",
        "expires_at",
        "created_at",
        "updated_at",
        "cloud_type",
        "since_days_ago",
        "account_count",
        "image_count",
        "image_ocp_chance",
        "image_rhel_chance",
        "image_other_owner_chance",
        "instance_count",
        "run_count_per_instance_min",
        "run_count_per_instance_mean",
        "hours_per_run_min",
        "hours_per_run_mean",
        "hours_between_runs_mean",
    ]
    assert {name: made[name] for name in list(made)[1:5]} == {
        "is_ready": False,
        "user": None,
        "machine_images": [],
        "expires_at": "2022-06-11T15:00:00Z",
    }
    assert [made[name] for name in list(made)[7:]] == [
        "aws", 7, 1, 10, 0.5, 0.5, 0.5, 100, 1, 1.0, 1.0, 2.0, 8.0,
    ]  # fmt: skip
    assert [task[:2] for task in queued] == [("api.tasks.synthesize_user", (made["id"],))]
    url = f"{URL}{made['id']}/"
    assert ANYBODY.get(url).json() == made
    changed = ANYBODY.patch(url, {"instance_count": 5})
    assert changed.status_code == 400
    assert changed.json() == {"instance_count": ["You cannot update field instance_count."]}
    both = ANYBODY.put(url, {"cloud_type": "azure", "image_count": 5, "account_count": 1})
    assert both.json() == {
        "cloud_type": ["You cannot update field cloud_type."],
        "image_count": ["You cannot update field image_count."],
    }
    assert ANYBODY.put(url, {}).json() == {"cloud_type": ["This field is required."]}
    later = {"instance_count": 100, "expires_at": "2020-01-01T00:00:00Z"}
    assert ANYBODY.patch(url, later).json()["expires_at"] == "2020-01-01T00:00:00Z"


def test_scenario_34_numbers_may_come_as_text(db, queued):
    """What the public perf-test tool sends (02 §1)."""
    body = {
        "cloud_type": "azure",
        "image_rhel_chance": "1.0",
        "instance_count": "3",
        "since_days_ago": "2",
    }
    made = ANYBODY.post(URL, body).json()
    assert (made["image_rhel_chance"], made["instance_count"], made["since_days_ago"]) == (1, 3, 2)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"cloud_type": ["This field is required."]}),
        ({"cloud_type": "gcp"}, {"cloud_type": ['"gcp" is not a valid choice.']}),
        (
            {"cloud_type": "aws", "image_rhel_chance": 1.1, "hours_per_run_min": -1},
            {
                "image_rhel_chance": ["Ensure this value is less than or equal to 1."],
                "hours_per_run_min": ["Ensure this value is greater than or equal to 0."],
            },
        ),
        (
            {"cloud_type": "aws", "instance_count": 2**31},
            {"instance_count": ["Ensure this value is less than or equal to 2147483647."]},
        ),
        (
            {"cloud_type": "aws", "hours_per_run_mean": "inf"},
            {"hours_per_run_mean": ["A valid number is required."]},
        ),
    ],
)
def test_synthetic_numbers_have_limits(db, queued, body, errors):
    response = ANYBODY.post(URL, body)
    assert (response.status_code, response.json()) == (400, errors)
    assert list(queued) == []


def test_deleting_a_request_deletes_each_account(db, queued):
    """02 §12.12."""
    user = make_user()
    accounts = [make_account(user=user, is_synthetic=True) for _ in range(3)]
    image = make_aws_image()
    request = SyntheticDataRequest.objects.create(cloud_type="aws", user=user)
    request.machine_images.add(image)
    response = ANYBODY.delete(f"{URL}{request.id}/")
    assert (response.status_code, response.content) == (204, b"")
    deletions = queued.named("api.tasks.delete_cloud_account")
    assert [task.args for task in deletions] == [(account.id,) for account in accounts]
    assert ANYBODY.rows("machineimages/") == []
