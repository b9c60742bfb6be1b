"""Queues (spec 04 §8.1, §10.1, §10.2, §10.4, §11; 08 §17)."""

import json
import logging

import pytest
from botocore.exceptions import ClientError
from django.core.cache import cache
from django.core.management import call_command
from django.db import OperationalError

from api.clouds.aws.provisioning import queues
from api.clouds.aws.provisioning.notifying_buckets import (
    dead_letter_name,
    results_bucket,
    trail_bucket,
)
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.deployment.processes import wait_for

pytestmark = pytest.mark.django_db

TRAIL = "test-cloudigrade-cloudtrail-s3"
RESULTS = "test-cloudigrade-inspections-s3"


def attributes(aws, name):
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def names(aws):
    urls = aws.client("sqs").list_queues().get("QueueUrls", [])
    return sorted(url.rpartition("/")[2] for url in urls)


def send(aws, *bodies, queue=TRAIL):
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)


def receive(limit=25):
    return [
        message
        for batch in queues.receive(trail_bucket(), limit=limit, seconds=30)
        for message in batch
    ]


@pytest.fixture(autouse=True)
def _short_poll(monkeypatch):
    monkeypatch.setattr(queues, "LONG_POLL", 0)


def test_names_of_dead_letter_queues():
    assert dead_letter_name("q") == "q-dlq"
    assert dead_letter_name("q" * 80) == "q" * 76 + "-dlq"


def test_scenario_32_configure_queues_on_an_empty_account(aws, capsys):
    """08 §26.19 too."""
    call_command("configurequeues")
    assert names(aws) == [TRAIL, f"{TRAIL}-dlq", RESULTS, f"{RESULTS}-dlq"]
    for name in (TRAIL, RESULTS):
        found = attributes(aws, name)
        assert found["MessageRetentionPeriod"] == "345600"
        assert json.loads(found["RedrivePolicy"]) == {
            "deadLetterTargetArn": attributes(aws, f"{name}-dlq")["QueueArn"],
            "maxReceiveCount": 5,
        }
        dead = attributes(aws, f"{name}-dlq")
        assert dead["MessageRetentionPeriod"] == "1209600"
        assert "RedrivePolicy" not in dead
    assert attributes(aws, TRAIL)["VisibilityTimeout"] == "300"
    assert capsys.readouterr().out.splitlines() == [
        f'Configuring SQS queue "{RESULTS}"',
        f'Configuring SQS queue "{TRAIL}"',
    ]


def test_a_second_run_changes_nothing(aws, requests):
    call_command("configurequeues")
    requests.clear()
    call_command("configurequeues")
    assert {request.action for request in requests} == {"GetQueueUrl", "GetQueueAttributes"}


def test_the_bucket_may_send_to_its_queue(aws):
    call_command("configurequeues")
    (statement,) = json.loads(attributes(aws, TRAIL)["Policy"])["Statement"]
    assert statement["Action"] == "SQS:SendMessage"
    assert statement["Principal"] == {"AWS": "*"}
    assert statement["Resource"] == attributes(aws, TRAIL)["QueueArn"]
    assert statement["Condition"] == {
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:::test-cloudigrade-trails"},
        "StringEquals": {"aws:SourceAccount": PRIMARY_ACCOUNT_ID},
    }
    assert attributes(aws, TRAIL)["SqsManagedSseEnabled"] == "true"


def test_a_queue_is_made_when_it_is_looked_up(aws, caplog):
    with caplog.at_level(logging.WARNING):
        url = queues.queue_url(trail_bucket())
    assert url.endswith(TRAIL)
    assert names(aws) == [TRAIL, f"{TRAIL}-dlq"]
    assert "Policy" in attributes(aws, TRAIL)
    assert "is created" in caplog.text


def test_a_url_is_remembered_for_a_moment(pipes_ready, requests, settings):
    for _ in range(3):
        queues.queue_url(trail_bucket())
    assert len(requests) == 1
    settings.CACHE_TTL_DEFAULT = 0
    queues.urls.forget()
    for _ in range(3):
        queues.queue_url(trail_bucket())
    assert len(requests) == 4


VANISHED = "arn:aws:sqs:us-east-1:123456789012:vanished"


@pytest.mark.parametrize(
    "policy",
    [
        "",
        '{"maxReceiveCount": 5}',
        f'{{"deadLetterTargetArn": "{VANISHED}", "maxReceiveCount": 5}}',
    ],
)
def test_a_redrive_policy_without_a_queue_will_not_do(pipes_ready, policy):
    assert not queues._redrives({"RedrivePolicy": policy})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", 0)),
        ("{}", ("", 0)),
        ("[]", ("", 0)),
        ('{"deadLetterTargetArn": "potato", "maxReceiveCount": 5}', ("", 5)),
        ('{"deadLetterTargetArn": "arn:aws:sqs:r:1:q-dlq", "maxReceiveCount": "5"}', ("q-dlq", 5)),
        ('{"deadLetterTargetArn": "arn:aws:sqs:r:1:q-dlq", "maxReceiveCount": "x"}', ("", 0)),
    ],
)
def test_reading_redrive_policies(text, expected):
    assert queues._parse_redrive(text) == expected


def test_another_receive_count_reaches_queues_that_exist(pipes_ready, settings):
    settings.AWS_SQS_MAX_RECEIVE_COUNT = 7
    queues.configure_queue(trail_bucket())
    assert json.loads(attributes(pipes_ready, TRAIL)["RedrivePolicy"])["maxReceiveCount"] == 7


def test_a_failure_names_the_queue_and_is_raised(pipes_ready, caplog):
    pipes_ready.refuse("sqs", "GetQueueAttributes", "AccessDenied")
    with pytest.raises(ClientError):
        call_command("configurequeues")
    assert RESULTS in caplog.text
    assert "http" in caplog.text


def test_receiving_in_batches(pipes_ready, requests):
    send(pipes_ready, *(f"body {number}" for number in range(13)))
    messages = receive()
    assert sorted(message.body for message in messages) == sorted(
        f"body {number}" for number in range(13)
    )
    assert all(message.receives == 1 and message.sent_at for message in messages)
    received = [request for request in requests if request.action == "ReceiveMessage"]
    assert len(received) == 3
    assert received[0].parameters["VisibilityTimeout"] == 30


def test_by_default_the_queue_says_for_how_long_messages_are_held(pipes_ready, requests):
    queues.configure_queue(trail_bucket())
    send(pipes_ready, "a")
    assert len(list(queues.receive(trail_bucket(), limit=10))) == 1
    (received, _) = [request for request in requests if request.action == "ReceiveMessage"]
    assert "VisibilityTimeout" not in received.parameters
    assert queues.hold_seconds(trail_bucket()) == 300


def test_receiving_no_more_than_the_limit(pipes_ready):
    send(pipes_ready, *"abcdefghijklmnop")
    assert len(receive(limit=12)) == 12


def test_receiving_from_a_queue_that_vanished(pipes_ready, caplog):
    queues.queue_url(trail_bucket())
    pipes_ready.client("sqs").delete_queue(QueueUrl=queues.queue_url(trail_bucket()))
    assert receive() == []
    assert "does not exist" in caplog.text
    assert queues.urls.get(TRAIL) is None


def test_other_errors_of_receiving_are_raised(pipes_ready):
    pipes_ready.refuse("sqs", "ReceiveMessage", "OverLimit")
    with pytest.raises(ClientError):
        receive()


def test_deleting_in_batches(pipes_ready):
    send(pipes_ready, *"abcdefghijklm")
    messages = receive()
    assert queues.delete(trail_bucket(), messages) == []
    found = attributes(pipes_ready, TRAIL)
    assert found["ApproximateNumberOfMessages"] == "0"
    assert found["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_messages_that_sqs_keeps_are_told(pipes_ready, monkeypatch, caplog):
    send(pipes_ready, "a", "b")
    messages = receive()

    class Stubborn:
        def delete_message_batch(self, Entries, **_):
            return {"Failed": [{"Id": Entries[1]["Id"], "Message": "no"}]}

    monkeypatch.setattr(queues, "sqs", Stubborn)
    assert queues.delete(trail_bucket(), messages) == [messages[1]]
    assert messages[1].id in caplog.text


def test_messages_are_held_while_work_goes_on(pipes_ready, requests):
    send(pipes_ready, "a", "b")
    (messages,) = queues.receive(trail_bucket(), limit=2, seconds=3)

    def prolonged():
        return [one for one in requests if one.action == "ChangeMessageVisibilityBatch"]

    with queues.held(trail_bucket(), messages, seconds=3):
        assert wait_for(prolonged, seconds=90)
    for one in prolonged():
        assert [entry["VisibilityTimeout"] for entry in one.parameters["Entries"]] == [3, 3]


def test_messages_are_given_back_where_the_work_fails_as_a_whole(pipes_ready):
    """Decision 44: not after the minutes for which they were taken."""
    send(pipes_ready, "a", "b")
    (messages,) = queues.receive(trail_bucket(), limit=2, seconds=300)
    with pytest.raises(ZeroDivisionError), queues.held(trail_bucket(), messages, seconds=300):
        1 / 0  # noqa: B018
    again = receive()
    assert {message.body for message in again} == {"a", "b"}
    assert {message.receives for message in again} == {2}


def test_a_result_shows_so_much_of_a_message(pipes_ready):
    """Decision 43: results lie in Redis for a day."""
    send(pipes_ready, "x" * 100_000, "short")
    shown = {message.shown()["body"] for message in receive()}
    assert shown == {"x" * queues.LONGEST_SHOWN, "short"}


def test_messages_stay_held_where_the_work_ends(pipes_ready):
    send(pipes_ready, "a")
    (messages,) = queues.receive(trail_bucket(), limit=1, seconds=300)
    with queues.held(trail_bucket(), messages, seconds=300):
        pass
    assert receive() == []


def test_nothing_is_received_while_the_database_is_away(pipes_ready, requests, monkeypatch):
    """Decision 44: SQS counts how often it hands out a message, and gives it up in the end."""
    send(pipes_ready, "a", "b")

    def away():
        raise OperationalError("could not connect to server")

    with monkeypatch.context() as outage:
        outage.setattr(queues.postgres, "require_writable", away)
        requests.clear()
        with pytest.raises(OperationalError):
            receive()
        assert "ReceiveMessage" not in {request.action for request in requests}
    received = queues.receive(trail_bucket(), limit=1, seconds=300)
    assert [message.receives for message in next(received)] == [1]
    monkeypatch.setattr(queues.postgres, "require_writable", away)
    with pytest.raises(OperationalError):
        next(queues.receive(trail_bucket(), limit=25))


def test_trouble_with_holding_does_not_disturb_the_work(pipes_ready, caplog):
    send(pipes_ready, "a")
    pipes_ready.refuse("sqs", "ChangeMessageVisibilityBatch", "AccessDenied")
    (messages,) = queues.receive(trail_bucket(), limit=1, seconds=3)
    with queues.held(trail_bucket(), messages, seconds=3):
        assert wait_for(lambda: "shown again at another time" in caplog.text, seconds=90)


def test_scenario_34_lengths(pipes_ready):
    for count, name in enumerate((RESULTS, f"{RESULTS}-dlq", TRAIL, f"{TRAIL}-dlq"), start=1):
        send(pipes_ready, *map(str, range(count)), queue=name)
    queues.cache_lengths()
    assert [
        cache.get(f"sqs_message_count_{label}")
        for label in (
            "houndigrade_results",
            "houndigrade_results_dlq",
            "cloudtrail_notifications",
            "cloudtrail_notifications_dlq",
        )
    ] == [1, 2, 3, 4]


def test_when_a_length_was_looked_up_is_never_forgotten(pipes_ready):
    """Issue 14, 19: an alert has to know of a check that was too long ago."""
    queues.cache_lengths()
    assert 0 < cache.seconds_left("sqs_message_count_houndigrade_results") <= 1800
    assert cache.seconds_left("sqs_message_count_houndigrade_results_checked_at") is None


def test_scenario_34_a_missing_queue_leaves_the_others_and_is_not_made(pipes_ready, caplog):
    cache.set("sqs_message_count_cloudtrail_notifications_dlq", 9)
    sqs = pipes_ready.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=f"{TRAIL}-dlq")["QueueUrl"])
    send(pipes_ready, "a")
    queues.cache_lengths()
    assert cache.get("sqs_message_count_cloudtrail_notifications") == 1
    assert cache.get("sqs_message_count_cloudtrail_notifications_dlq") == 9
    assert f"{TRAIL}-dlq" not in names(pipes_ready)
    assert f"{TRAIL}-dlq" in caplog.text


def test_the_results_bucket():
    bucket = results_bucket()
    assert (bucket.bucket, bucket.queue) == ("test-cloudigrade-inspections", RESULTS)
    assert (bucket.prefix, bucket.suffix) == ("InspectionResults/", ".json")
