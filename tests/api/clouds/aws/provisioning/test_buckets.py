"""Buckets and their lifecycle (spec 04 §5.3, §10.3)."""

import json
from fnmatch import fnmatchcase

import pytest
import time_machine
from botocore.exceptions import ClientError
from django.core.cache import cache
from django.core.management import call_command

from api.clouds.aws.cloudtrail.trail import trail_name
from api.clouds.aws.provisioning import bucket_settings, buckets
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket

TRAILS = "test-cloudigrade-trails"
RESULTS = "test-cloudigrade-inspections"


@pytest.fixture(autouse=True)
def _no_leader():
    cache.clear()


def rules(aws, bucket):
    return aws.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def test_scenario_33_the_lifecycle_of_both_buckets(pipes_ready, requests):
    call_command("syncbucketlifecycle")
    for bucket in (TRAILS, RESULTS):
        (rule,) = rules(pipes_ready, bucket)
        assert (rule["ID"], rule["Status"]) == ("s3_lifecycle_policy", "Enabled")
        assert rule["Filter"] == {"Prefix": ""}
        assert rule["Transitions"] == [
            {"Days": 30, "StorageClass": "STANDARD_IA"},
            {"Days": 60, "StorageClass": "GLACIER"},
        ]
        assert rule["Expiration"]["Days"] == 1460


def test_it_acts_again_after_a_while_only(pipes_ready, requests):
    """08 §26.20."""
    with time_machine.travel("2026-05-04T00:00:00Z", tick=False) as clock:
        for seconds, acts in ((0, True), (10, False), (291, True)):
            clock.shift(seconds)
            requests.clear()
            call_command("syncbucketlifecycle")
            assert bool(requests) == acts


def test_a_failed_run_does_not_count(pipes_ready, monkeypatch):
    monkeypatch.setattr(bucket_settings, "put_lifecycle", lambda bucket: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call_command("syncbucketlifecycle")
    monkeypatch.undo()
    call_command("syncbucketlifecycle")
    assert rules(pipes_ready, TRAILS)


def test_while_another_process_is_at_it_nothing_is_asked(pipes_ready, requests, monkeypatch):
    waited = []
    monkeypatch.setattr(buckets.LeaderRun, "wait", lambda self: waited.append(self))
    with buckets.LeaderRun(buckets.LEADER_FEATURE).lead():
        call_command("syncbucketlifecycle")
    assert waited
    assert requests == []


def test_missing_buckets_are_made_with_all_they_need(aws):
    call_command("syncbucketlifecycle")
    s3 = aws.client("s3")
    found = s3.get_bucket_notification_configuration(Bucket=TRAILS)
    (notification,) = found["QueueConfigurations"]
    assert notification["Id"] == "Notifications"
    assert notification["QueueArn"].endswith(":test-cloudigrade-cloudtrail-s3")
    assert notification["Events"] == ["s3:ObjectCreated:*"]
    rules = {rule["Name"]: rule["Value"] for rule in notification["Filter"]["Key"]["FilterRules"]}
    assert rules == {"prefix": "AWSLogs/", "suffix": ".json.gz"}
    acl, write = json.loads(s3.get_bucket_policy(Bucket=TRAILS)["Policy"])["Statement"]
    assert acl["Action"] == "s3:GetBucketAcl"
    assert write["Action"] == "s3:PutObject"
    assert write["Resource"] == f"arn:aws:s3:::{TRAILS}/AWSLogs/*"
    assert write["Condition"]["StringEquals"] == {"s3:x-amz-acl": "bucket-owner-full-control"}
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=RESULTS)


@pytest.mark.parametrize(
    ("arn", "allowed"),
    [
        ("arn:aws:cloudtrail:us-east-1:123456789012:trail/" + trail_name("123456789012"), True),
        ("arn:aws:cloudtrail:eu-west-1:000000000042:trail/" + trail_name("42"), True),
        ("arn:aws-cn:cloudtrail:cn-north-1:123456789012:trail/" + trail_name("123456789012"), True),
        (
            "arn:aws-us-gov:cloudtrail:us-gov-east-1:000000000042:trail/"
            + trail_name("000000000042"),
            True,
        ),
        ("arn:aws:cloudtrail:us-east-1:999999999999:trail/mine", False),
        ("arn:aws:cloudtrail:us-east-1:999999999999:trail/x-test-123456789012", False),
        ("arn:aws:s3:us-east-1:123456789012:trail/" + trail_name("123456789012"), False),
    ],
)
def test_only_our_trails_may_write_into_the_bucket(aws, arn, allowed):
    """Issue 14, item 17: those with the names that we give, in any account and partition."""
    buckets.ensure_bucket(trail_bucket())
    policy = json.loads(aws.client("s3").get_bucket_policy(Bucket=TRAILS)["Policy"])
    for statement in policy["Statement"]:
        assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        patterns = statement["Condition"]["ArnLike"]["aws:SourceArn"]
        assert any(arn_is_like(arn, pattern) for pattern in patterns) == allowed


def arn_is_like(arn, pattern):
    """Compare as AWS's ArnLike does: part by part."""
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)
    return all(fnmatchcase(part, one) for part, one in zip(parts, patterns, strict=True))


def test_what_is_put_into_a_made_bucket_reaches_the_queue(aws):
    buckets.ensure_bucket(trail_bucket())
    aws.client("s3").put_object(Bucket=TRAILS, Key="AWSLogs/1/x.json.gz", Body=b"x")
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=trail_bucket().queue)["QueueUrl"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert any("x.json.gz" in message["Body"] for message in messages)


def test_half_a_bucket_is_taken_back(aws, monkeypatch):
    monkeypatch.setattr(bucket_settings, "mend", lambda bucket: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        buckets.ensure_bucket(trail_bucket())
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_a_bucket_that_is_not_ours_is_trouble(aws, monkeypatch):
    class Stranger:
        def head_bucket(self, **_):
            raise ClientError({"Error": {"Code": "403"}}, "HeadBucket")

    monkeypatch.setattr(buckets, "s3", Stranger)
    with pytest.raises(ClientError):
        buckets.ensure_bucket(trail_bucket())
