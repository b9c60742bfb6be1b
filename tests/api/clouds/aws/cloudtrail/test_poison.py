"""Bad input of all kinds: what becomes of it, and of its neighbours (spec 04 §8.2-§8.4, §12).

Each case is delivered between two good messages. The good ones must always be done with.
"""

import gzip
import logging

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from prometheus_client import REGISTRY

from api.clouds.aws import notified_files
from api.clouds.aws.cloudtrail import enrich, load, read
from api.models import IngestHour, IngestObject, Instance, MachineImage
from tests.api.clouds.aws.testbed import BUCKET, QUEUE, at, bodies, events, refusing, runs
from tests.factories import make_aws_image
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched, log_file

GOOD = {"i-before", "i-after"}


FOLDER = "AWSLogs/{account}/CloudTrail/us-east-1/2020/01/02/"


def file(body, key=FOLDER + "bad.json.gz"):
    return {"body": body, "key": key}


def message(body):
    return {"message": body}


def mixed(record):
    """A file with a bad record between two good ones."""
    good = [trail.stop_instances("i-in-1"), trail.stop_instances("i-in-2")]
    return {"records": [good[0], record, good[1]], "also": {"i-in-1", "i-in-2"}}


DONE, KEPT = "done with", "kept"
POISON = {
    "message: not JSON": (message("hello world"), KEPT),
    "message: a list": (message("[]"), KEPT),
    "message: JSON of another form": (message('{"a": 1}'), KEPT),
    "message: an event of another kind": (
        message(trail.eventbridge_event("b", "k", "Other")),
        KEPT,
    ),
    "message: a test event": (message(trail.s3_test_event("b")), DONE),
    "message: a record without s3": (message('{"Records": [{}]}'), KEPT),
    "message: an envelope around nonsense": (message(trail.sns_envelope("nonsense")), KEPT),
    "key: bogus account": (file(b"x", "AWSLogs/some-bogus-id/path/f.gz"), DONE),
    "key: unknown account": (file(b"x", "AWSLogs/999999999999/CloudTrail/f.gz"), DONE),
    "key: organisation": (file(b"x", "AWSLogs/o-abc/{account}/CloudTrail/f.gz"), DONE),
    "key: no log": (file(b"x", "AWSLogs/{account}/CloudTrail/us-east-1/f.json.gz"), DONE),
    "key: insight": (file(b"x", FOLDER.replace("CloudTrail", "CloudTrail-Insight") + "f.gz"), DONE),
    "digest: not JSON": (
        file(gzip.compress(b"x"), FOLDER.replace("CloudTrail", "CloudTrail-Digest") + "f.json.gz"),
        DONE,
    ),
    "file: gone": ({"key": FOLDER + "gone.json.gz"}, DONE),
    "file: not gzip": (file(b"plain"), KEPT),
    "file: cut off": (file(log_file([trail.noise(1)])[:-20]), KEPT),
    "file: not UTF-8": (file(gzip.compress(b'{"Records": ["\xff"]}')), KEPT),
    "file: not JSON": (file(gzip.compress(b"hello world")), DONE),
    "file: empty": (file(gzip.compress(b"")), DONE),
    "file: null": (file(gzip.compress(b"null")), DONE),
    "file: no records": (file(gzip.compress(b"{}")), DONE),
    "file: records are no list": (file(gzip.compress(b'{"Records": {"a": 1}}')), DONE),
    "file: endless nesting": (file(gzip.compress(b"[" * 10**6)), DONE),
    "record: null": (mixed(None), DONE),
    "record: text": (mixed("x"), DONE),
    "record: no parameters": (mixed(trail.start_instances("i", requestParameters=None)), DONE),
    "record: no response": (mixed(trail.start_instances("i", responseElements=None)), DONE),
    "record: no identity": (
        mixed(trail.start_instances("i", userIdentity=None, recipientAccountId=None)),
        DONE,
    ),
    "record: no time": (mixed(trail.start_instances("i", eventTime=None)), DONE),
    "record: the year 9999 and beyond": (
        mixed(trail.start_instances("i", eventTime="9999-12-31T23:59:59-12:00")),
        DONE,
    ),
    "record: NUL in an id": (mixed(trail.start_instances("i\0")), DONE),
    "record: a lone surrogate": (mixed(trail.start_instances("\ud800")), DONE),
    "record: an endless type": (mixed(trail.modify_instance("i", "x" * 9999)), DONE),
    "record: an endless region": (mixed(trail.start_instances("i", awsRegion="x" * 9999)), DONE),
    "record: no type": (
        mixed(trail.run_instances(launched("i", instanceType=None), type=None)),
        DONE,
    ),
}


@pytest.mark.parametrize(("poison", "outcome"), POISON.values(), ids=POISON)
def test_poison_between_good_messages(testbed, queued, poison, outcome):
    testbed.deliver(trail.stop_instances("i-before"))
    deliver(testbed, poison)
    testbed.deliver(trail.stop_instances("i-after"))
    successes, failures = testbed.run()
    assert (len(successes), len(failures)) == ((3, 0) if outcome == DONE else (2, 1))
    assert testbed.left == len(failures)
    assert {event[0] for event in events()} == GOOD | poison.get("also", set())


def deliver(testbed, poison):
    if "message" in poison:
        testbed.announce(body=poison["message"])
    elif "records" in poison:
        testbed.deliver(*poison["records"])
    else:
        key = poison["key"].format(account=testbed.account.aws_account_id)
        if "body" in poison:
            testbed.put(key=key, body=poison["body"])
        testbed.announce(key)


def test_one_bad_file_of_a_message_does_not_stop_its_siblings(testbed, queued):
    """The message stays for the sake of the bad one; coming again changes nothing."""
    first, last = testbed.put(trail.stop_instances("i-1")), testbed.put(trail.stop_instances("i-2"))
    bad = testbed.put(
        key=trail.log_key(account=testbed.account.aws_account_id, name="Bad"), body=b"x"
    )
    testbed.announce(first, bad, last)
    successes, failures = testbed.run()
    assert (successes, len(failures)) == ([], 1)
    assert {event[0] for event in events()} == {"i-1", "i-2"}
    testbed.announce(first, bad, last)
    testbed.run()
    assert len(events()) == 2
    assert IngestObject.objects.get(key=bad).outcome == "unreadable"
    assert IngestObject.objects.get(key=bad).attempts == 2


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_s3_in_trouble_keeps_the_message(testbed, monkeypatch, code):
    testbed.deliver(trail.stop_instances("i-1"))
    monkeypatch.setattr(read, "fetch", refusing(code))
    assert [len(part) for part in testbed.run()] == [0, 1]


@pytest.mark.parametrize(
    ("code", "outcome", "level"),
    [
        ("AccessDenied", "unreadable", logging.WARNING),
        ("NoSuchKey", "missing", logging.ERROR),
        ("InvalidObjectState", "archived", logging.ERROR),
        ("Weird", "unreadable", logging.ERROR),
    ],
)
def test_what_s3_refuses_is_given_up(testbed, monkeypatch, caplog, code, outcome, level):
    key = testbed.deliver(trail.stop_instances("i-1"))
    monkeypatch.setattr(read, "fetch", refusing(code))
    assert [len(part) for part in testbed.run()] == [1, 0]
    assert IngestObject.objects.get(key=key).outcome == outcome
    (line,) = [record for record in caplog.records if key in record.getMessage()]
    assert line.levelno == level


REFUSALS = ["UnauthorizedOperation", "RequestLimitExceeded", "InternalError"]


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("action", ["DescribeInstances", "DescribeImages", "AssumeRole"])
def test_what_aws_does_not_answer_keeps_no_message(testbed, queued, caplog, action, code):
    """Decision 47; fault 4: what needs no answer is stored at once, and so is the rest."""
    known = make_aws_image()
    testbed.aws.refuse("sts" if action == "AssumeRole" else "ec2", action, code)
    testbed.deliver(
        trail.run_instances(launched("i-1", image=known.cloud_image_id), at=at(1)),
        trail.run_instances(launched("i-2", image="ami-unknown"), at=at(1)),
        trail.start_instances("i-unknown", at=at(1)),
        trail.create_tags("ami-tagged", tags=[trail.OPENSHIFT_TAG], at=at(1)),
        trail.stop_instances("i-1", "i-2", "i-unknown", at=at(2)),
    )
    with caplog.at_level(logging.WARNING):
        successes, failures = testbed.run()
    assert (len(successes), failures) == (1, [])
    assert runs() == [
        ("i-1", at(1), at(2), "m5.large"),
        ("i-2", at(1), at(2), "m5.large"),
        ("i-unknown", at(1), at(2), None),
    ]
    images = dict(
        Instance.objects.values_list("cloud_instance_id", "machine_image__cloud_image_id")
    )
    assert images == {"i-1": known.cloud_image_id, "i-2": "ami-unknown", "i-unknown": None}
    unknown = MachineImage.objects.exclude(id=known.id).order_by("cloud_image_id")
    assert list(unknown.values_list("cloud_image_id", "status", "openshift_detected")) == [
        ("ami-tagged", "unavailable", True),
        ("ami-unknown", "unavailable", False),
    ]
    assert (
        f"AWS account {testbed.account.aws_account_id} cannot be asked in us-east-1" in caplog.text
    )


def test_what_was_not_answered_is_asked_again_with_the_next_log(testbed, queued):
    """Decision 47: what was missing is filled in as if it had been answered the first time."""
    ami = testbed.image()
    instance_id = testbed.instance(ami, "c5.large")
    testbed.aws.refuse("ec2", "DescribeInstances", "UnauthorizedOperation", times=1)
    testbed.aws.refuse("ec2", "DescribeImages", "UnauthorizedOperation", times=1)
    testbed.ingest(trail.start_instances(instance_id, at=at(1)))
    testbed.ingest(trail.run_instances(launched("i-2", image=ami), at=at(1)))
    assert MachineImage.objects.get().status == "unavailable"
    testbed.ingest(trail.stop_instances(instance_id, at=at(2)))
    assert MachineImage.objects.get().status == "pending"
    assert Instance.objects.filter(machine_image__cloud_image_id=ami).count() == 2


def test_an_answer_of_another_kind_keeps_no_message(testbed, queued, monkeypatch, caplog):
    """Decision 47."""

    def broken(*_):
        raise KeyError("InstanceId")

    monkeypatch.setattr(enrich, "describe_instances", broken)
    testbed.deliver(trail.stop_instances("i-1"))
    assert [len(part) for part in testbed.run()] == [1, 0]
    assert [event[0] for event in events()] == ["i-1"]
    assert "cannot be asked in us-east-1: 'InstanceId'" in caplog.text


def test_what_the_database_refuses_is_taken_apart(testbed, queued, monkeypatch, caplog):
    """One file that cannot be stored does not keep its batch from being stored."""
    testbed.deliver(trail.stop_instances("i-1"))
    bad = testbed.deliver(trail.stop_instances("i-bad"))
    testbed.deliver(trail.stop_instances("i-2"))
    original = load.save_instances

    def save(*, cloud_type, found):
        wanted = list(found)
        if any(one.cloud_instance_id == "i-bad" for one in wanted):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return original(cloud_type=cloud_type, found=wanted)

    monkeypatch.setattr(load, "save_instances", save)
    successes, failures = testbed.run()
    assert (len(successes), len(failures)) == (2, 1)
    assert bad in bodies(failures)[0]
    assert {event[0] for event in events()} == {"i-1", "i-2"}
    assert IngestObject.objects.get(key=bad).outcome == "rejected"
    assert bad in caplog.text
    assert "division by zero" in caplog.text


def test_what_can_not_be_processed_ends_in_the_dead_letter_queue(testbed, queued):
    testbed.show_again_at_once()
    testbed.announce(body="hello world")
    testbed.deliver(trail.stop_instances("i-1"))
    successes, failures = testbed.run()
    assert (len(successes), len(failures)) == (1, 5)
    assert testbed.left == 0
    dead = testbed.sqs.get_queue_url(QueueName=f"{QUEUE}-dlq")["QueueUrl"]
    (message,) = testbed.sqs.receive_message(QueueUrl=dead)["Messages"]
    assert message["Body"] == "hello world"


def test_the_last_chance_of_a_message_is_told(testbed, caplog, settings):
    settings.AWS_SQS_MAX_RECEIVE_COUNT = 1
    testbed.announce(body="hello world")
    testbed.run()
    assert "goes to the dead letter queue" in caplog.text


def test_odd_records_are_named_in_the_log(testbed, caplog):
    key = testbed.deliver(trail.noise(1), trail.start_instances("i", requestParameters=None))
    with caplog.at_level(logging.WARNING):
        testbed.run()
    assert f"Record 1 of {BUCKET}/{key} is malformed" in caplog.text


def test_a_file_too_large_is_kept_for_an_operator(testbed, monkeypatch):
    monkeypatch.setattr(notified_files, "MAX_OBJECT", 10)
    key = testbed.deliver(trail.stop_instances("i-1"))
    assert [len(part) for part in testbed.run()] == [0, 1]
    assert IngestObject.objects.get(key=key).outcome == "rejected"


def test_a_file_that_failed_and_then_is_read_is_fine(testbed, monkeypatch):
    key = testbed.put(trail.stop_instances("i-1"))
    testbed.announce(key)
    with monkeypatch.context() as broken:
        broken.setattr(read, "gunzip", lambda data: 1 / 0)
        testbed.run()
    assert IngestObject.objects.get(key=key).outcome == "unreadable"
    testbed.announce(key)
    testbed.run()
    found = IngestObject.objects.get(key=key)
    assert (found.outcome, found.attempts, found.stored) == ("ok", 2, 1)


def test_plain_files_and_files_packed_by_type(testbed):
    folder = f"AWSLogs/{testbed.account.aws_account_id}/CloudTrail/us-east-1/2020/01/02"
    text = trail.log_text([testbed.mine(trail.stop_instances("i-plain"))])
    testbed.announce(testbed.put(key=f"{folder}/plain.json", body=text))
    packed = trail.log_file([testbed.mine(trail.stop_instances("i-packed"))])
    testbed.aws.client("s3").put_object(
        Bucket=BUCKET,
        Key=f"{folder}/packed",
        Body=packed,
        ContentType="application/x-gzip",
    )
    testbed.announce(f"{folder}/packed")
    assert len(testbed.run()[0]) == 2
    assert set(Instance.objects.values_list("cloud_instance_id", flat=True)) == {
        "i-plain",
        "i-packed",
    }


def test_keys_are_decoded(testbed):
    folder = f"AWSLogs/{testbed.account.aws_account_id}/CloudTrail/us-east-1/2020/01/02"
    testbed.ingest(trail.stop_instances("i-1"), key=f"{folder}/a copy+y=z%2F.json.gz")
    assert [event[0] for event in events()] == ["i-1"]


@pytest.mark.parametrize("wrap", [str, trail.sns_envelope], ids=["plain", "through SNS"])
@pytest.mark.parametrize(
    "announce", [trail.notification, trail.eventbridge_event, trail.cloudtrail_notice]
)
def test_forms_of_notifications(testbed, wrap, announce):
    """Issue 14, item 28: those that AWS documents."""
    testbed.announce(body=wrap(announce(BUCKET, testbed.put(trail.stop_instances("i-1")))))
    assert [len(part) for part in testbed.run()] == [1, 0]
    assert len(events()) == 1


def test_notifications_of_unknown_form_are_counted_until_they_are_dead_letters(testbed):
    """Issue 14, item 28."""

    def counted(form):
        name = "cloudigrade_cloudtrail_notifications_total"
        return REGISTRY.get_sample_value(name, {"form": form}) or 0

    testbed.announce(body=trail.s3_test_event(BUCKET))
    testbed.run()
    unknown, tests = counted("unknown"), counted("test")
    testbed.show_again_at_once()
    testbed.announce(body='{"version": "9", "detail": {}}')
    assert [len(part) for part in testbed.run()] == [0, 5]
    assert (counted("unknown") - unknown, counted("test") - tests) == (5, 0)
    assert testbed.left == 0
    dead = testbed.sqs.get_queue_url(QueueName=f"{QUEUE}-dlq")["QueueUrl"]
    (message,) = testbed.sqs.receive_message(QueueUrl=dead)["Messages"]
    assert message["Body"] == '{"version": "9", "detail": {}}'


@pytest.mark.parametrize("step", ["gunzip", "load_accounts"])
def test_a_time_limit_is_no_fault_of_the_file(testbed, queued, monkeypatch, reach_time_limit, step):
    """Nothing is recorded of the file, and its message comes again (fault 11)."""
    testbed.show_again_at_once()
    testbed.deliver(trail.stop_instances("i-1"))
    with monkeypatch.context() as patch:
        patch.setattr(read, step, lambda *_: reach_time_limit())
        with pytest.raises(SoftTimeLimitExceeded):
            testbed.run()
    assert not IngestObject.objects.exists()
    assert not IngestHour.objects.exists()
    assert [len(part) for part in testbed.run()] == [1, 0]
    assert [event[0] for event in events()] == ["i-1"]
