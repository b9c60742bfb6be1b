"""Making, changing and deleting accounts: scenarios 15-18 (spec 02 §5.4, §5.5, §14)."""

import json
import uuid

import pytest

from api.clouds.provider import TransientCloudError, VerificationFailedError, VerificationProblem
from api.models import CloudAccount, User
from api.sources.codes import ErrorCode
from tests.api.accounts.statuses import statuses
from tests.api.internal.callers import ANYBODY, B, customer, service
from tests.factories import make_event, make_instance, make_user

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


# Making: errors


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
    ("body", "member", "code"),
    [(NEW_AWS, "account_arn", "CG1004"), (NEW_AZURE, "subscription_id", "CG1006")],
)
def test_our_own_accounts_are_refused(db, clouds, queued, body, member, code):
    """Decision 36."""
    clouds["aws"].own, clouds["azure"].own = ("543210987654",), (SUBSCRIPTION,)
    assert _refused(body) == {member: ErrorCode[code].message}
    assert not CloudAccount.objects.exists()
    assert [status[1:4] for status in statuses(queued)] == [("neworg", 1002, "unavailable")]


@pytest.mark.parametrize(
    "problem",
    [VerificationFailedError(VerificationProblem.POLICY), TransientCloudError("throttled")],
)
def test_an_account_that_cannot_be_enabled(db, clouds, queued, problem):
    clouds["aws"].problem = problem
    assert _refused(NEW_AWS) == {
        "is_enabled": "Could not enable cloud account. Please check your credentials."
    }
    assert not CloudAccount.objects.exists()


def test_a_known_user_without_account_survives_a_refusal(db, clouds, queued):
    user = make_user(org_id="known")
    clouds["aws"].problem = VerificationFailedError(VerificationProblem.ACCESS)
    assert customer(org_id="known").post(f"{B}/accounts/", NEW_AWS).status_code == 400
    assert User.objects.filter(id=user.id).exists()


# Making: whose it is


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


@pytest.mark.parametrize("field", ["account_number", "org_id"])
@pytest.mark.parametrize("caller", [service, customer])
def test_ids_that_no_customer_has_make_no_account(db, clouds, queued, field, caller):
    """Issue 14.26: a clear 400."""
    response = caller(**{field: "9" * 151}).post(f"{B}/accounts/", NEW_AWS)
    assert response.status_code == 400
    assert response.json() == {field: ["Ensure this field has no more than 150 characters."]}
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["authentication", "application", "source"])
@pytest.mark.parametrize(
    "number", [str(2**63), str(-(2**63) - 1), "9" * 5000, "1e300", "1e400", f'"{"9" * 5000}"']
)
def test_platform_ids_that_no_column_holds(db, clouds, queued, name, number):
    body = json.dumps(NEW_AWS | {f"platform_{name}_id": "@"}).replace('"@"', number)
    response = NEW_ORG.post(f"{B}/accounts/", body)
    assert response.status_code == 400
    assert not CloudAccount.objects.exists()


@pytest.mark.parametrize("caller", [service(), customer()])
def test_making_an_account_needs_a_number(db, caller):
    response = caller.post(f"{B}/accounts/", NEW_AWS)
    assert response.status_code == 403
    assert "neither is present in request" in response.json()["detail"]


# Changing


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
