"""Acceptance scenarios 13-18, 21-22 and 34 (spec 02 §14): what operators may change."""

import uuid

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from api.clouds.provider import Finding, TransientCloudError, VerificationFailedError
from api.models import (
    CloudAccount,
    InspectionAttempt,
    StaleUsage,
    SyntheticDataRequest,
    User,
    UserTaskLock,
)
from api.sources.codes import ErrorCode
from tests.api.accounts.statuses import statuses
from tests.api.internal.callers import ANYBODY, B, customer, service
from tests.factories import (
    make_account,
    make_aws_image,
    make_event,
    make_instance,
    make_rhel_image,
    make_run,
    make_user,
    utc,
)

pytestmark = pytest.mark.django_db

NEW_ORG = customer(org_id="neworg")
SUBSCRIPTION = str(uuid.uuid4())
NEW_AZURE = {
    "cloud_type": "azure",
    "subscription_id": SUBSCRIPTION,
    "platform_authentication_id": 1001,
    "platform_application_id": 1002,
    "platform_source_id": 1003,
}
NEW_AWS = {
    "cloud_type": "aws",
    "account_arn": "arn:aws:iam::543210987654:role/metering",
    "platform_authentication_id": 1001,
    "platform_application_id": 1002,
    "platform_source_id": 1003,
}


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


def test_scenario_15_an_account_is_made_with_its_user(db, clouds, queued):
    response = NEW_ORG.post(f"{B}/accounts/", NEW_AZURE)
    assert response.status_code == 201
    account = response.json()
    assert account["is_enabled"] is True
    assert account["platform_application_is_paused"] is False
    assert account["content_object"]["subscription_id"] == SUBSCRIPTION
    assert "subscription_id" not in account
    user = User.objects.get(org_id="neworg")
    assert account["user_id"] == user.id
    assert user.task_lock is not None
    assert not user.has_usable_password()
    assert [status[1:4] for status in statuses(queued)] == [("neworg", 1002, "available")]
    assert clouds["azure"].asked == ["verify", "configure", "discover"]


def test_scenario_16_a_known_subscription_is_refused_and_sources_told(db, clouds, queued):
    NEW_ORG.post(f"{B}/accounts/", NEW_AZURE)
    queued.clear()
    again = NEW_AZURE | {"platform_authentication_id": 2, "platform_application_id": 3}
    response = customer(org_id="other").post(f"{B}/accounts/", again)
    assert response.status_code == 400
    text = ErrorCode.CG1005.message
    assert "CG1005" in text
    assert response.json() == {"subscription_id": text}
    assert [status[1:] for status in statuses(queued)] == [("other", 3, "unavailable", text)]
    assert not User.objects.filter(org_id="other").exists()


def test_scenario_17_making_needs_a_customer_reading_does_not(story):
    refused = ANYBODY.post(f"{B}/accounts/", NEW_AZURE)
    assert refused.status_code == 403
    assert refused.json() == {"detail": "Incorrect authentication credentials."}
    ids = [row["account_id"] for row in ANYBODY.rows("accounts/")]
    assert ids == [story.aws.id, story.azure.id]


def test_scenario_18_accounts_are_deleted_later_or_at_once(story, clouds, queued):
    later = ANYBODY.delete(f"{B}/accounts/{story.aws.id}/")
    assert (later.status_code, later.content) == (202, b"")
    assert queued == [("api.tasks.delete_cloud_account", (story.aws.id,), {}, None)]
    assert ANYBODY.get(f"{B}/accounts/{story.aws.id}/").status_code == 200
    now = ANYBODY.delete(f"{B}/cloudaccounts/{story.azure.id}/")
    assert (now.status_code, now.content) == (204, b"")
    assert not CloudAccount.objects.filter(id=story.azure.id).exists()
    assert not User.objects.filter(id=story.user2.id).exists()


def test_deleting_writes_no_power_off_events(story, clouds, queued):
    """02 §5.5."""
    make_event(instance=make_instance(account=story.aws))
    ANYBODY.delete(f"{B}/cloudaccounts/{story.aws.id}/")
    assert not clouds["aws"].in_transaction
    assert [status[3] for status in statuses(queued)] == ["unavailable"]
    assert ANYBODY.delete(f"{B}/cloudaccounts/{story.aws.id}/").status_code == 404
    assert ANYBODY.delete(f"{B}/accounts/{story.aws.id}/").status_code == 404


def test_scenario_21_an_image_is_inspected_again(story):
    image = make_rhel_image(status="inspected")
    instance = make_instance(account=story.aws, image=image)
    make_run(instance=instance, start=utc("2022-06-01"))
    InspectionAttempt.objects.create(machine_image=image)
    url = f"{B}/machineimages/{image.id}/reinspect/"
    response = ANYBODY.post(url)
    assert response.status_code == 200
    assert (response.json()["id"], response.json()["status"]) == (image.id, "pending")
    assert not InspectionAttempt.objects.filter(machine_image=image, counts=True).exists()
    assert not StaleUsage.objects.exists()
    assert ANYBODY.get(url).status_code == 405
    assert ANYBODY.post(f"{B}/machineimages/987654321/reinspect/").status_code == 404


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


def test_a_stuck_lock_can_be_removed(story):
    """02 §5.5."""
    lock = story.user1.task_lock
    assert ANYBODY.delete(f"{B}/usertasklocks/{lock.id}/").status_code == 204
    assert ANYBODY.get(f"{B}/usertasklocks/{lock.id}/").status_code == 404


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


# POST accounts: errors (spec 02 §5.4)


def _refused(body: dict, caller=NEW_ORG) -> dict:
    response = caller.post(f"{B}/accounts/", body)
    assert response.status_code == 400, response.content
    assert not User.objects.filter(org_id="neworg").exists()
    return response.json()


def test_missing_and_wrong_members_of_an_account(db, clouds, queued):
    required = ["This field is required."]
    assert _refused({}) == {
        "cloud_type": required,
        "platform_authentication_id": required,
        "platform_application_id": required,
        "platform_source_id": required,
    }
    wrong = NEW_AZURE | {"cloud_type": "gcp", "platform_source_id": "x"}
    assert _refused(wrong) == {
        "cloud_type": ['"gcp" is not a valid choice.'],
        "platform_source_id": ["A valid integer is required."],
    }
    assert _refused(NEW_AWS | {"account_arn": "arn:potato"}) == {"account_arn": ["Invalid ARN."]}
    without = {name: NEW_AWS[name] for name in NEW_AWS if name != "account_arn"}
    assert _refused(without) == {"account_arn": "This field is required."}
    assert _refused(without | {"cloud_type": "azure"}) == {
        "subscription_id": "This field is required."
    }
    assert statuses(queued) == []
    assert _refused(NEW_AZURE | {"subscription_id": "potato"}) == {
        "subscription_id": ErrorCode.CG1006.message
    }
    assert [status[3:] for status in statuses(queued)] == [
        ("unavailable", ErrorCode.CG1006.message)
    ]
    huge = _refused(NEW_AWS | {"platform_source_id": 10**30})
    assert list(huge) == ["platform_source_id"]


def test_duplicates_of_an_account(story, clouds, queued):
    pair = {"platform_authentication_id": 33, "platform_application_id": 22}
    assert _refused(NEW_AWS | pair) == {
        "non_field_errors": [
            "The fields platform_authentication_id, platform_application_id must make a unique set."
        ]
    }
    assert _refused(NEW_AWS | {"account_arn": story.aws.account_arn}) == {
        "account_arn": ErrorCode.CG1001.message
    }
    other_role = "arn:aws:iam::123456789012:role/other"
    assert _refused(NEW_AWS | {"account_arn": other_role}) == {
        "account_arn": ErrorCode.CG1002.message
    }
    assert [status[4] for status in statuses(queued)] == [
        ErrorCode.CG1001.message,
        ErrorCode.CG1002.message,
    ]


@pytest.mark.parametrize(
    "problem", [VerificationFailedError(Finding.POLICY), TransientCloudError("throttled")]
)
def test_an_account_that_cannot_be_enabled(db, clouds, queued, problem):
    clouds["aws"].problem = problem
    assert _refused(NEW_AWS) == {
        "is_enabled": "Could not enable cloud account. Please check your credentials."
    }
    assert not CloudAccount.objects.exists()


def test_a_known_user_without_account_survives_a_refusal(db, clouds, queued):
    user = make_user(org_id="known")
    clouds["aws"].problem = VerificationFailedError(Finding.ACCESS)
    assert customer(org_id="known").post(f"{B}/accounts/", NEW_AWS).status_code == 400
    assert User.objects.filter(id=user.id).exists()


@pytest.mark.parametrize(
    ("caller", "columns"),
    [
        (service(account_number="71"), {"account_number": "71", "org_id": None}),
        (service(org_id="72"), {"account_number": None, "org_id": "72"}),
        (service(account_number="71", org_id="72"), {"account_number": "71", "org_id": "72"}),
    ],
)
def test_the_new_user_has_what_the_service_names(db, clouds, queued, caller, columns):
    """02 §11."""
    assert caller.post(f"{B}/accounts/", NEW_AWS).status_code == 201
    assert User.objects.values("account_number", "org_id").get() == columns


def test_a_known_user_is_found_by_org_id_and_completed(db, clouds, queued):
    user = make_user(org_id="72")
    caller = service(account_number="71", org_id="72")
    assert caller.post(f"{B}/accounts/", NEW_AWS).json()["user_id"] == user.id
    user.refresh_from_db()
    assert user.account_number == "71"


def test_numbers_of_two_customers_make_no_account(db, clouds, queued):
    """README decision 26."""
    make_user(account_number="1", org_id="72")
    caller = service(account_number="71", org_id="72")
    response = caller.post(f"{B}/accounts/", NEW_AWS)
    assert response.status_code == 403
    assert response.json() == {"detail": "Incorrect authentication credentials."}


@pytest.mark.parametrize("caller", [service(), customer()])
def test_making_an_account_needs_a_number(db, caller):
    response = caller.post(f"{B}/accounts/", NEW_AWS)
    assert response.status_code == 403
    assert "neither is present in request" in response.json()["detail"]


def test_what_of_an_account_can_be_changed(story):
    """02 §5.4."""
    url = f"{B}/accounts/{story.aws.id}/"
    ids = {
        "platform_authentication_id": 71,
        "platform_application_id": 72,
        "platform_source_id": 73,
        "platform_application_is_paused": True,
    }
    response = ANYBODY.patch(url, ids | {"is_enabled": False, "user_id": 99})
    assert response.status_code == 200
    assert {name: response.json()[name] for name in ids} == ids
    assert (response.json()["is_enabled"], response.json()["user_id"]) == (True, story.user1.id)
    same = {"cloud_type": "aws", "account_arn": story.aws.account_arn}
    assert ANYBODY.patch(url, same).status_code == 200
    assert ANYBODY.put(url, same | ids).status_code == 200
    assert set(ANYBODY.put(url, {}).json()) == {"cloud_type", *list(ids)[:3]}
    unpaused = ANYBODY.send(
        "PUT",
        url,
        "cloud_type=aws&platform_authentication_id=1&platform_application_id=2&platform_source_id=3",
        content_type="application/x-www-form-urlencoded",
    )
    assert unpaused.json()["platform_application_is_paused"] is True


@pytest.mark.parametrize(
    ("account", "body", "errors"),
    [
        ("aws", {"cloud_type": "azure"}, {"cloud_type": ["You cannot update field cloud_type."]}),
        (
            "aws",
            {"account_arn": "arn:aws:iam::123456789012:role/other"},
            {"account_arn": ["You cannot update account_arn."]},
        ),
        (
            "aws",
            {"subscription_id": SUBSCRIPTION},
            {"subscription_id": ["You cannot update field subscription_id."]},
        ),
        (
            "azure",
            {"subscription_id": SUBSCRIPTION},
            {"subscription_id": ["You cannot update field subscription_id."]},
        ),
        (
            "azure",
            {"account_arn": "arn:aws:iam::123456789012:role/other"},
            {"account_arn": ["You cannot update account_arn."]},
        ),
    ],
)
def test_what_an_account_is_can_not_be_changed(story, account, body, errors):
    """02 §5.4, §12.7."""
    response = ANYBODY.patch(f"{B}/accounts/{getattr(story, account).id}/", body)
    assert (response.status_code, response.json()) == (400, errors)


def test_accounts_keep_apart(story):
    pair = {"platform_authentication_id": 33, "platform_application_id": 22}
    response = ANYBODY.patch(f"{B}/accounts/{story.azure.id}/", pair)
    assert list(response.json()) == ["non_field_errors"]
    own = ANYBODY.patch(f"{B}/accounts/{story.aws.id}/", pair)
    assert own.status_code == 200


# Synthetic data requests (spec 02 §5.6)

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
