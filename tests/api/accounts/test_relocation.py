"""Another role, another AWS account, another subscription (spec 03 §6.4 B, 06 §2.4)."""

import uuid

import pytest

from api.accounts.relocation import change_token
from api.accounts.states import KAFKA
from api.clouds.provider import (
    AccountRef,
    TransientCloudError,
    VerificationFailedError,
    VerificationProblem,
)
from api.models import AccountState, CloudAccount, Instance, InstanceEvent, Run, StaleUsage
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_azure_account,
    make_event,
    make_instance,
    make_run,
)
from util import clock

pytestmark = pytest.mark.django_db

ARN = "arn:aws:iam::123456789012:role/meter"
NEW_ROLE = "arn:aws:iam::123456789012:role/new"
NEW_ACCOUNT = "arn:aws:iam::888888888888:role/meter"
SENDER = Tenant("header", "tenant")


@pytest.fixture
def account():
    account = make_aws_account(
        aws_account_id="123456789012", account_arn=ARN, platform_application_id=11
    )
    instance = make_instance(account=account, image=make_aws_image())
    make_event(instance=instance)
    make_run(instance=instance, start=clock.now())
    return account


def change(account, token):
    usable = change_token(account_id=account.id, token=token, tenant=SENDER, trigger=KAFKA)
    account.refresh_from_db()
    return usable


def told_sender(code):
    return (*SENDER, 11, "unavailable", code.message)


def test_scenario_22_new_role_of_the_same_account(aws, queued, account):
    assert change(account, NEW_ROLE)
    assert account.account_arn == NEW_ROLE
    assert aws.asked == ["verify", "configure", "discover"]
    assert aws.refs("verify")[0].account_arn == NEW_ROLE
    assert statuses(queued) == [available(account.user, 11)]
    assert Instance.objects.count() == 1


def test_same_role_is_verified_once_more(aws, queued, account):
    assert change(account, ARN)
    assert statuses(queued) == [available(account.user, 11)]


def test_scenario_23_new_role_that_fails(aws, queued, account):
    aws.problem = VerificationFailedError(VerificationProblem.POLICY)
    assert not change(account, NEW_ROLE)
    assert account.account_arn == NEW_ROLE
    assert account.is_enabled
    assert statuses(queued) == [unavailable(account.user, 11, ErrorCode.CG3003)]


def test_scenario_24_another_aws_account(aws, queued, account):
    old = AccountRef.of(account)
    assert change(account, NEW_ACCOUNT)
    assert CloudAccount.objects.get().id == old.id
    assert (account.account_arn, account.aws_account_id) == (NEW_ACCOUNT, "888888888888")
    assert account.is_enabled
    assert account.platform_application_id == 11
    for model in (Instance, Run, InstanceEvent):
        assert not model.objects.exists()
    assert StaleUsage.objects.filter(user=account.user, cause="account_deleted").exists()
    assert aws.refs("release") == [old]
    assert aws.asked == ["release", "forget", "verify", "configure", "discover"]
    assert statuses(queued) == [available(account.user, 11)]
    log = AccountState.objects.filter(account_id=account.id).order_by("id")
    assert [row.to_state for row in log] == ["disabled", "moved", "enabled"]


def test_another_aws_account_that_fails(aws, queued, account):
    aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
    assert not change(account, NEW_ACCOUNT)
    assert account.account_arn == NEW_ACCOUNT
    assert not account.is_enabled
    assert statuses(queued) == [unavailable(account.user, 11, ErrorCode.CG3002)]


@pytest.mark.parametrize(
    ("other_arn", "code"),
    [
        (NEW_ACCOUNT, ErrorCode.CG1001),
        ("arn:aws:iam::888888888888:role/x", ErrorCode.CG1002),
    ],
)
def test_duplicate_changes_nothing(aws, queued, account, other_arn, code):
    make_aws_account(aws_account_id="888888888888", account_arn=other_arn)
    assert not change(account, NEW_ACCOUNT)
    assert account.account_arn == ARN
    assert account.is_enabled
    assert Instance.objects.count() == 1
    assert statuses(queued) == [told_sender(code)]
    assert aws.calls == []


def test_invalid_arn_changes_nothing(aws, queued, account):
    assert not change(account, "arn:aws:s3:::bucket")
    assert account.account_arn == ARN
    assert account.is_enabled
    assert statuses(queued) == [told_sender(ErrorCode.CG1004)]


def test_lost_race_keeps_what_there_was(aws, queued, account, monkeypatch):
    release = aws.release

    def release_and_lose(ref):
        release(ref)
        if ref.id == account.id and not CloudAccount.objects.exclude(id=account.id).exists():
            make_aws_account(aws_account_id="888888888888", account_arn=NEW_ACCOUNT)

    monkeypatch.setattr(aws, "release", release_and_lose)
    assert not change(account, NEW_ACCOUNT)
    assert account.account_arn == ARN
    assert Instance.objects.filter(cloud_account=account).count() == 1
    assert statuses(queued) == [told_sender(ErrorCode.CG1001)]


def test_move_may_be_repeated_from_any_point(aws, queued, account):
    aws.problem = TransientCloudError()
    with pytest.raises(TransientCloudError):
        change(account, NEW_ACCOUNT)
    aws.problem = None
    assert change(account, NEW_ACCOUNT)
    assert account.aws_account_id == "888888888888"
    assert account.is_enabled


def test_paused_account_is_moved_but_not_enabled(aws, queued, account):
    CloudAccount.objects.update(platform_application_is_paused=True, is_enabled=False)
    assert change(account, NEW_ACCOUNT)
    assert account.aws_account_id == "888888888888"
    assert not account.is_enabled
    assert aws.asked == ["release", "forget", "verify"]


def test_azure_subscription_changes(azure, queued):
    account = make_azure_account()
    old = AccountRef.of(account)
    new = uuid.uuid4()
    assert change(account, str(new))
    assert account.subscription_id == new
    assert azure.refs("forget") == [old]


def test_account_that_is_gone(aws, queued, account):
    account.delete()
    assert not change_token(account_id=4711, token=NEW_ROLE, tenant=SENDER, trigger=KAFKA)
    assert queued == []
