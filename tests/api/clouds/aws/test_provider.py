"""Verification and trails as the life of accounts sees them (spec 04 §3.4, §4-§6, §14)."""

import logging
from dataclasses import replace

import pytest

from api import outbox
from api.clouds.aws import policy, session
from api.clouds.aws.cloudtrail import trail
from api.clouds.aws.cloudtrail.trail import delete_trail, remove_trail
from api.clouds.aws.provider import AwsProvider
from api.clouds.aws.session import clients
from api.clouds.provider import (
    AccountRef,
    TransientCloudError,
    VerificationFailedError,
    VerificationProblem,
)
from api.models import OutboxEntry
from tests.api.clouds.aws.testbed import ACCOUNT, trails
from tests.factories import make_aws_account

provider = AwsProvider()

ZEROS = "001234567890"
DRY_RUNS = [
    "DescribeImages",
    "DescribeInstances",
    "ModifySnapshotAttribute",
    "DescribeSnapshotAttribute",
    "DescribeSnapshots",
    "CopyImage",
    "CreateTags",
    "DescribeRegions",
]


def ref(number=ACCOUNT):
    return AccountRef(
        id=1,
        cloud_type="aws",
        aws_account_id=number,
        account_arn=f"arn:aws:iam::{number}:role/r",
        subscription_id=None,
        is_synthetic=False,
    )


def calls(aws):
    return [call["action"] for call in aws.calls()]


def test_the_policy_document():
    document = policy.policy_document()
    (statement,) = document["Statement"]
    assert document["Version"] == "2012-10-17"
    assert (statement["Sid"], statement["Effect"]) == ("CloudigradePolicy", "Allow")
    assert statement["Resource"] == "*"
    assert statement["Action"] == [
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:ModifySnapshotAttribute",
        "ec2:DescribeSnapshotAttribute",
        "ec2:DescribeSnapshots",
        "ec2:CopyImage",
        "ec2:CreateTags",
        "ec2:DescribeRegions",
        "cloudtrail:CreateTrail",
        "cloudtrail:UpdateTrail",
        "cloudtrail:PutEventSelectors",
        "cloudtrail:DescribeTrails",
        "cloudtrail:StartLogging",
        "cloudtrail:DeleteTrail",
    ]


def test_scenario_20_a_new_account(bucket, requests):
    provider.verify(ref())
    provider.configure(ref())
    assert calls(bucket) == [
        "AssumeRole",
        *DRY_RUNS,
        "DescribeTrails",
        "CreateTrail",
        "PutEventSelectors",
        "StartLogging",
    ]
    assert all(call["dry_run"] for call in bucket.calls() if call["action"] in DRY_RUNS)
    assert {call["region"] for call in bucket.calls()} == {"us-east-1"}
    assert {call["account"] for call in bucket.calls()[1:]} == {ACCOUNT}
    asked = {request.action: request.parameters for request in requests}
    assert asked["DescribeTrails"] == {"trailNameList": [f"test-{ACCOUNT}"]}
    assert asked["CreateTrail"] == {
        "Name": f"test-{ACCOUNT}",
        "S3BucketName": "test-cloudigrade-trails",
        "IncludeGlobalServiceEvents": True,
        "IsMultiRegionTrail": True,
    }
    assert asked["PutEventSelectors"] == {
        "TrailName": f"test-{ACCOUNT}",
        "EventSelectors": [{"ReadWriteType": "WriteOnly"}],
    }
    assert asked["StartLogging"] == {"Name": f"test-{ACCOUNT}"}
    assert asked["DescribeSnapshotAttribute"]["SnapshotId"] == "snap-0f423c31dd96866b2"
    assert asked["ModifySnapshotAttribute"]["OperationType"] == "add"
    assert asked["CopyImage"]["SourceImageId"] == "ami-0f94fa2a144c74cf1"


def test_scenario_21_the_trail_exists(bucket):
    provider.configure(ref())
    before = len(bucket.calls())
    provider.configure(ref())
    assert calls(bucket)[before:] == [
        "DescribeTrails",
        "UpdateTrail",
        "PutEventSelectors",
        "StartLogging",
    ]
    assert trails(bucket) == [f"test-{ACCOUNT}"]


def test_a_missing_bucket_is_made_first(aws):
    provider.configure(ref())
    assert trails(aws) == [f"test-{ACCOUNT}"]
    buckets = aws.client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == ["test-cloudigrade-trails"]


def test_scenario_22_a_refused_action_does_not_end_the_check(aws, caplog):
    aws.refuse("ec2", "CopyImage", "UnauthorizedOperation")
    aws.refuse("ec2", "DescribeImages", "UnauthorizedOperation")
    with pytest.raises(VerificationFailedError) as raised:
        provider.verify(ref())
    assert raised.value.finding is VerificationProblem.POLICY
    assert raised.value.detail == "ec2:DescribeImages, ec2:CopyImage"
    assert calls(aws) == ["AssumeRole", *DRY_RUNS]
    assert "does not grant ec2:CopyImage" in caplog.text


def test_an_unknown_action_counts_as_refused(aws, monkeypatch):
    monkeypatch.setattr(policy, "ACTIONS", ("ec2:DescribeImages", "ec2:Rejoice"))
    assert policy.refused_actions(clients.own("ec2", "us-east-1")) == ["ec2:Rejoice"]


def test_scenario_23_the_role_is_refused(aws, caplog):
    aws.refuse("sts", "AssumeRole", "AccessDenied")
    with caplog.at_level(logging.WARNING), pytest.raises(VerificationFailedError) as raised:
        provider.verify(ref())
    assert raised.value.finding is VerificationProblem.ACCESS
    assert [record.levelname for record in caplog.records if "refuses us" in record.message] == [
        "WARNING"
    ]


def test_scenario_23_too_many_trails(bucket):
    bucket.refuse("cloudtrail", "CreateTrail", "MaximumNumberOfTrailsExceededException")
    with pytest.raises(VerificationFailedError) as raised:
        provider.configure(ref())
    assert raised.value.finding is VerificationProblem.TRAIL_LIMIT


def test_scenario_25_a_role_that_was_deleted_is_noticed(aws):
    provider.verify(ref())
    aws.refuse("sts", "AssumeRole", "AccessDenied")
    with pytest.raises(VerificationFailedError):
        provider.verify(ref())


@pytest.mark.parametrize(
    ("service", "action"), [("sts", "AssumeRole"), ("ec2", "DescribeSnapshots")]
)
def test_an_unexpected_code_is_an_error_in_the_log(aws, caplog, service, action):
    aws.refuse(service, action, "Weird")
    with pytest.raises(VerificationFailedError) as raised:
        provider.verify(ref())
    assert raised.value.finding is VerificationProblem.ACCESS
    assert "ERROR" in {record.levelname for record in caplog.records}


@pytest.mark.parametrize("action", ["PutEventSelectors", "StartLogging", "DescribeTrails"])
def test_trouble_with_the_trail_is_trouble_with_access(bucket, action):
    bucket.refuse("cloudtrail", action, "TrailNotFoundException")
    with pytest.raises(VerificationFailedError) as raised:
        provider.configure(ref())
    assert raised.value.finding is VerificationProblem.ACCESS


def test_anything_but_an_answer_of_aws_is_unknown(aws, monkeypatch):
    monkeypatch.setattr(policy, "_is_granted", lambda ec2, action: 1 / 0)
    with pytest.raises(VerificationFailedError) as raised:
        provider.verify(ref())
    assert raised.value.finding is VerificationProblem.UNKNOWN


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "Throttling", "InternalError"])
def test_throttling_and_outages_are_no_findings(aws, code):
    aws.refuse("ec2", "DescribeImages", code)
    with pytest.raises(TransientCloudError) as raised:
        provider.verify(ref())
    assert raised.value.finding is VerificationProblem.ACCESS


def test_throttling_is_waited_for(aws, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    aws.refuse("ec2", "DescribeImages", "RequestLimitExceeded", times=1)
    provider.verify(ref())
    assert calls(aws).count("DescribeImages") == 2


def test_a_network_that_is_down_is_no_finding(aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(TransientCloudError):
        provider.verify(ref())


@pytest.mark.django_db
def test_an_old_trail_without_zeros_is_replaced(bucket):
    old = bucket.client("cloudtrail", account_id=ZEROS)
    old.create_trail(Name="test-1234567890", S3BucketName="test-cloudigrade-trails")
    provider.configure(ref(ZEROS))
    assert trails(bucket, ZEROS) == [f"test-{ZEROS}"]


@pytest.mark.parametrize("action", ["UpdateTrail", "PutEventSelectors", "StartLogging"])
def test_trail_that_is_deleted_meanwhile_is_made_anew(bucket, action):
    """03 §11, hazard 4: the trail's removal was queued when the account was disabled."""
    provider.configure(ref())
    bucket.refuse("cloudtrail", action, "TrailNotFoundException", times=1)
    provider.configure(ref())
    assert trails(bucket) == [f"test-{ACCOUNT}"]


@pytest.mark.parametrize(("refusals", "finding"), [(2, None), (3, VerificationProblem.ACCESS)])
def test_trail_that_is_never_found_is_given_up(bucket, refusals, finding):
    bucket.refuse("cloudtrail", "StartLogging", "TrailNotFoundException", times=refusals)
    if finding is None:
        provider.configure(ref())
        return
    with pytest.raises(VerificationFailedError) as raised:
        provider.configure(ref())
    assert raised.value.finding is finding


@pytest.mark.django_db
def test_releasing_and_discovering_are_queued(queued):
    provider.release(ref())
    provider.discover(ref())
    provider.forget(ref())
    assert queued == [
        (
            "api.clouds.aws.tasks.delete_cloudtrail",
            (f"arn:aws:iam::{ACCOUNT}:role/r", ACCOUNT),
            {},
            None,
        ),
        ("api.clouds.aws.tasks.initial_aws_describe_instances", (1,), {}, None),
    ]


@pytest.mark.django_db
def test_last_removal_is_known(bucket, queued):
    assert provider.last_removal(ref()) is None
    provider.release(ref())
    entry = OutboxEntry.objects.get()
    link = outbox.TaskLink(entry.key, str(entry.task_id))
    remove_trail(arn=entry.args[0], aws_account_id=ACCOUNT, link=link)
    assert provider.last_removal(ref()) is not None


@pytest.mark.django_db
def test_account_that_was_enabled_while_its_trail_was_deleted_is_checked(
    bucket, queued, monkeypatch
):
    account = make_aws_account(aws_account_id=ACCOUNT, is_enabled=False)

    def delete_slowly(**_):
        type(account).objects.update(is_enabled=True)
        return True

    monkeypatch.setattr(trail, "delete_trail", delete_slowly)
    remove_trail(arn=account.account_arn, aws_account_id=ACCOUNT, link=None)
    assert queued == [("api.tasks.enable_account", (account.id,), {}, None)]


@pytest.mark.django_db
class TestDeletingTrails:
    def delete(self, number=ACCOUNT):
        return delete_trail(arn=f"arn:aws:iam::{number}:role/r", aws_account_id=number)

    def test_scenario_26_the_trail_is_deleted(self, bucket):
        provider.configure(ref())
        assert self.delete()
        assert trails(bucket) == []

    def test_scenario_26_a_trail_that_is_gone_is_no_trouble(self, bucket):
        assert self.delete()
        assert calls(bucket) == ["AssumeRole", "DeleteTrail"]

    def test_also_by_its_old_name(self, bucket):
        client = bucket.client("cloudtrail", account_id=ZEROS)
        for name in (f"test-{ZEROS}", "test-1234567890"):
            client.create_trail(Name=name, S3BucketName="test-cloudigrade-trails")
        assert self.delete(ZEROS)
        assert trails(bucket, ZEROS) == []

    def test_not_if_an_account_with_this_id_is_enabled(self, bucket):
        make_aws_account(aws_account_id=ACCOUNT)
        assert not self.delete()
        assert bucket.calls() == []

    def test_but_if_it_is_disabled(self, bucket):
        make_aws_account(aws_account_id=ACCOUNT, is_enabled=False)
        assert self.delete()

    @pytest.mark.parametrize(
        ("code", "level"), [("AccessDeniedException", "WARNING"), ("Weird", "ERROR")]
    )
    def test_what_aws_refuses_is_given_up(self, bucket, caplog, code, level):
        bucket.refuse("cloudtrail", "DeleteTrail", code)
        assert not self.delete()
        ours = [record for record in caplog.records if record.name.startswith("api.")]
        assert [record.levelname for record in ours] == [level]

    def test_what_may_pass_is_to_be_tried_again(self, bucket):
        bucket.refuse("cloudtrail", "DeleteTrail", "ThrottlingException")
        with pytest.raises(Exception, match="ThrottlingException"):
            self.delete()


@pytest.fixture
def unasked():
    """AWS has not told us yet who we are."""
    session.own_account_id.cache_clear()
    yield
    session.own_account_id.cache_clear()


@pytest.mark.usefixtures("unasked")
class TestOwnAccount:
    """Decision 36: the account of our own credentials."""

    def test_account_id_alone_decides(self, aws):
        own = session.primary_account_id()
        assert provider.is_own(ref(own))
        other_partition = replace(ref(own), account_arn=f"arn:aws-us-gov:iam::{own}:user/x")
        assert provider.is_own(other_partition)
        assert not provider.is_own(ref())

    def test_aws_is_asked_once(self, aws):
        for _ in range(3):
            assert not provider.is_own(ref())
        assert calls(aws) == ["GetCallerIdentity"]

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("Throttling", TransientCloudError),
            ("ServiceUnavailable", TransientCloudError),
            ("InvalidClientTokenId", VerificationFailedError),
            ("ExpiredToken", VerificationFailedError),
        ],
    )
    def test_without_an_answer_there_is_none(self, aws, code, error):
        """A stranger must not come in because AWS is out of order."""
        aws.refuse("sts", "GetCallerIdentity", code)
        with pytest.raises(error):
            provider.is_own(ref())
