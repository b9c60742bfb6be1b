"""The entry points of the AWS pipeline (spec 04 §1.3, §3.6)."""

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from celery.exceptions import Retry

from api.clouds.aws.cloudtrail.pipeline import HandledMessages
from api.clouds.aws.errors import AwsError
from api.clouds.aws.provisioning.queues import Message
from api.clouds.provider import TransientCloudError
from api.tasks import aws as tasks


def refusal(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeRegions")


def message(name):
    return Message(id=name, receipt="r", body=f"body of {name}", sent_at=None, receives=1)


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_names_and_retries():
    retried = {
        tasks.initial_aws_describe_instances: True,
        tasks.describe_missing_for_account: True,
        tasks.delete_cloudtrail: True,
        tasks.repopulate_ec2_instance_mapping: True,
        tasks.analyze_log: False,
        tasks.reconcile_aws_accounts: False,
        tasks.describe_missing: False,
        tasks.check_and_cache_sqs_queues_lengths: False,
    }
    for task, is_retried in retried.items():
        assert bool(getattr(task, "autoretry_for", ())) == is_retried
        if is_retried:
            assert (task.max_retries, task.retry_backoff_max) == (35, 120)
    assert {task.name for task in retried} == {
        "api.clouds.aws.tasks.initial_aws_describe_instances",
        "api.clouds.aws.tasks.describe_missing",
        "api.clouds.aws.tasks.describe_missing_for_account",
        "api.clouds.aws.tasks.delete_cloudtrail",
        "api.clouds.aws.tasks.repopulate_ec2_instance_mapping",
        "api.clouds.aws.tasks.analyze_log",
        "api.clouds.aws.tasks.reconcile_aws_accounts",
        "api.tasks.check_and_cache_sqs_queues_lengths",
    }


def test_the_result_of_analyze_log(monkeypatch):
    result = HandledMessages(successes=[message("a")], failures=[message("b"), message("c")])
    monkeypatch.setattr(tasks.pipeline, "analyze_log", lambda: result)
    assert tasks.analyze_log() == [
        [{"message_id": "a", "body": "body of a"}],
        [
            {"message_id": "b", "body": "body of b"},
            {"message_id": "c", "body": "body of c"},
        ],
    ]


@pytest.mark.parametrize("code", ["AccessDenied", "OptInRequired"])
def test_access_denied_ends_quietly(monkeypatch, code):
    monkeypatch.setattr(tasks.pipeline, "analyze_log", raising(refusal(code)))
    assert tasks.analyze_log() is None


def test_other_errors_are_plain_text(monkeypatch):
    monkeypatch.setattr(tasks.pipeline, "analyze_log", raising(refusal("OverLimit")))
    with pytest.raises(AwsError, match="OverLimit"):
        tasks.analyze_log()


@pytest.mark.parametrize("error", [TransientCloudError("x"), refusal("RequestLimitExceeded")])
def test_scenario_30_throttling_is_retried(monkeypatch, error):
    monkeypatch.setattr(tasks.sync, "describe_account", raising(error))
    result = tasks.initial_aws_describe_instances.apply((7,), throw=False, retries=35)
    assert isinstance(result.result, TransientCloudError)
    with pytest.raises(Retry):
        tasks.initial_aws_describe_instances.apply((7,), throw=True, retries=0).get()


def test_a_retry_goes_on_where_the_attempt_before_ended(monkeypatch):
    calls = []
    monkeypatch.setattr(tasks.sync, "describe_account", lambda **options: calls.append(options))
    tasks.initial_aws_describe_instances.apply(kwargs={"aws_cloud_account_id": "7"})
    tasks.initial_aws_describe_instances.apply((7,), retries=1)
    assert calls == [
        {"account_id": 7, "resume": False},
        {"account_id": 7, "resume": True},
    ]


def test_arguments_are_passed_on(monkeypatch):
    seen = []
    monkeypatch.setattr(tasks, "remove_trail", lambda **options: seen.append(options))
    tasks.delete_cloudtrail.apply(kwargs={"arn": "a", "aws_account_id": "1"}, throw=True)
    assert seen == [{"arn": "a", "aws_account_id": "1", "link": None}]


@pytest.mark.parametrize(
    ("task", "service"),
    [
        (tasks.repopulate_ec2_instance_mapping, "repopulate_definitions"),
        (tasks.check_and_cache_sqs_queues_lengths, "cache_lengths"),
    ],
)
def test_doors_without_arguments(monkeypatch, task, service):
    called = SimpleNamespace(times=0)
    monkeypatch.setattr(tasks, service, lambda: setattr(called, "times", called.times + 1))
    task.apply(throw=True)
    assert called.times == 1
