"""Records of what was read (spec 09 P1-P5, P8, P13)."""

import gzip
import json
import logging
from datetime import timedelta

import pytest
import time_machine
from prometheus_client import REGISTRY

from api.models import (
    Correction,
    DescribeRun,
    IngestHour,
    IngestObject,
    InstanceEvent,
    InstanceFact,
    MachineImage,
    TrailDigest,
)
from tests.api.clouds.aws.testbed import BUCKET, at, events, unpacked
from tests.factories import make_aws_image, make_event, make_instance
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched


def key_at(testbed, hour, minute=0, name="Name", **options):
    account = testbed.account.aws_account_id
    return trail.log_key(account=account, at=at(hour, minute), name=name, **options)


def test_each_event_knows_its_record(testbed, queued):
    made = [
        trail.noise(1),
        trail.run_instances(launched("i-1", image=testbed.image()), at=at(1)),
        trail.stop_instances("i-1", at=at(2)),
    ]
    key = testbed.deliver(*made)
    testbed.run()
    stored = IngestObject.objects.get()
    assert (stored.bucket, stored.key) == (BUCKET, key)
    body = testbed.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    for event in InstanceEvent.objects.all():
        record = unpacked(body)["Records"][event.source_index]
        assert event.origin == "cloudtrail"
        assert event.source_object == stored.id
        assert (event.source_id, event.source_name) == (record["eventID"], record["eventName"])


def test_a_duplicate_never_overwrites_the_first_origin(testbed):
    record = trail.stop_instances("i-1", at=at(2))
    first = testbed.deliver(record)
    testbed.run()
    testbed.ingest(trail.noise(1), record)
    event = InstanceEvent.objects.get()
    assert event.source_object == IngestObject.objects.get(key=first).id
    assert event.source_index == 0


def test_the_row_of_a_file(testbed, settings):
    settings.CLOUDIGRADE_VERSION = "1.2.3"
    key = key_at(testbed, 3, 5)
    testbed.ingest(
        trail.noise(1),
        trail.stop_instances("i-1", "i-2", at=at(2)),
        trail.start_instances("i-1", at=at(3)),
        key=key,
    )
    row = IngestObject.objects.get()
    assert (row.outcome, row.records, row.relevant, row.stored) == ("ok", 3, 2, 3)
    assert (row.aws_account_id, row.region) == (testbed.account.aws_account_id, "us-east-1")
    assert row.delivered_at == at(3, 5)
    assert row.announced_at == trail.NOON
    assert row.enqueued_at is not None
    assert (row.oldest_event_at, row.newest_event_at) == (at(2), at(3))
    assert (row.attempts, row.code_version) == (1, "1.2.3")
    assert row.etag
    assert row.size


def test_a_file_without_anything_for_us_has_no_row_but_is_counted(testbed):
    testbed.ingest(trail.noise(1), trail.noise(5), key=key_at(testbed, 3))
    assert not IngestObject.objects.exists()
    hour = IngestHour.objects.get()
    assert (hour.files, hour.records, hour.relevant, hour.stored) == (1, 2, 0, 0)


def test_hours_add_up_files_and_reasons(testbed):
    testbed.deliver(
        trail.stop_instances("i-1", at=at(2)),
        trail.noise(0),
        trail.noise(3),
        trail.run_instances(launched("i-2"), errorCode="x"),
        trail.modify_instance("i-1"),
        trail.start_instances("i", requestParameters=None),
        trail.stop_instances("i", account="444444444444"),
        trail.stop_instances("i-1", at=at(2, day=1) - timedelta(days=30)),
        key=key_at(testbed, 3, 5, "A"),
    )
    testbed.deliver(
        trail.stop_instances("i-1", at=at(2)), trail.noise(3), key=key_at(testbed, 3, 55, "B")
    )
    testbed.deliver(trail.noise(3), key=key_at(testbed, 4, 0, "C"))
    testbed.run()
    hour, later = IngestHour.objects.order_by("hour")
    assert (hour.aws_account_id, hour.region) == (testbed.account.aws_account_id, "us-east-1")
    assert (hour.hour, later.hour) == (at(3), at(4))
    assert (hour.files, hour.records, hour.relevant) == (2, 10, 2)
    assert (hour.stored, hour.duplicates) == (1, 1)
    assert hour.skipped == {
        "other_source": 2,
        "other_event": 1,
        "error_code": 1,
        "no_type": 1,
        "malformed": 1,
        "unknown_account": 1,
        "before_enabled": 1,
    }
    assert hour.records == hour.relevant + sum(hour.skipped.values())
    assert hour.newest_event_at == at(2)
    assert hour.largest_event_age > 0
    assert hour.largest_queue_wait >= 0
    assert hour.seen.splitlines() == ["05_A", "55_B"]
    assert (later.files, later.seen) == (1, "00_C")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"is_enabled": False}, "disabled"), ({"platform_application_is_paused": True}, "paused")],
)
def test_reasons_of_accounts(testbed, columns, reason):
    type(testbed.account).objects.update(**columns)
    testbed.ingest(trail.stop_instances("i-1"))
    assert IngestHour.objects.get().skipped == {reason: 1}


def test_events_before_the_account_was_made(testbed):
    type(testbed.account).objects.update(created_at=at(3))
    testbed.ingest(trail.stop_instances("i-1", at=at(2)))
    assert IngestHour.objects.get().skipped == {"before_created": 1}


def test_a_file_that_comes_again_is_counted_once(testbed):
    key = testbed.deliver(trail.stop_instances("i-1"), trail.noise(1))
    testbed.run()
    testbed.announce(key)
    testbed.announce(key)
    testbed.run()
    testbed.announce(key)
    testbed.run()
    hour = IngestHour.objects.get()
    assert (hour.files, hour.records, hour.relevant, hour.stored) == (1, 2, 1, 1)
    assert hour.duplicates == 2
    assert hour.skipped == {"other_event": 1}
    row = IngestObject.objects.get()
    assert (row.attempts, row.stored) == (3, 1)


def test_what_is_not_read_is_counted(testbed, caplog):
    """Files of unknown accounts, and of no known form, leave no rows (fault 11)."""

    def counted(outcome):
        name = "cloudigrade_cloudtrail_files_total"
        return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0

    outcomes = ("unknown_account", "unknown_key", "insight")
    before = [counted(one) for one in outcomes]
    account = testbed.account.aws_account_id
    testbed.announce(trail.log_key(account="999999999999"))
    testbed.announce(f"AWSLogs/{account}/x\nforged.json.gz")
    testbed.announce(f"AWSLogs/{account}/CloudTrail-Insight/us-east-1/2020/01/02/x.json.gz")
    with caplog.at_level(logging.INFO):
        assert len(testbed.run()[0]) == 3
    assert [counted(one) for one in outcomes] == [number + 1 for number in before]
    hours = dict(IngestHour.objects.values_list("aws_account_id", "skipped"))
    assert hours == {account: {"insight": 1}}
    assert not IngestObject.objects.exists()
    assert "999999999999" in caplog.text
    assert f"'{BUCKET}/AWSLogs/{account}/x\\nforged.json.gz' is not read" in caplog.text


def test_digests_are_neither_logs_nor_poison(testbed):
    account = testbed.account.aws_account_id
    logs = [key_at(testbed, 3, 5, "A"), key_at(testbed, 3, 10, "B")]
    key = trail.digest_key(account=account, at=at(4))
    body = trail.digest_file(
        bucket=BUCKET, log_keys=logs, account=account, end=at(4), previous="before.gz"
    )
    for _ in range(2):
        testbed.announce(testbed.put(key=key, body=body))
        assert [len(part) for part in testbed.run()] == [1, 0]
    digest = TrailDigest.objects.get()
    assert (digest.aws_account_id, digest.region) == (account, "us-east-1")
    assert (digest.start, digest.end) == (at(3), at(4))
    assert (digest.bucket, digest.key, digest.previous_key) == (BUCKET, key, "before.gz")
    assert digest.file_names == logs
    assert IngestHour.objects.get().skipped == {"digest": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"previousDigestS3Object": "a\0"},
        {"previousDigestS3Object": "\ud800"},
        {"logFiles": [{"s3Object": "a\0"}]},
        {"logFiles": [{"s3Object": "\ud800"}]},
        {"digestStartTime": "0001-01-01T00:00:00+14:00"},
        {"digestEndTime": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_a_digest_that_no_table_holds_is_none(testbed, queued, change):
    """It is done with; what came beside it is stored at once, and nothing of it is."""
    account = testbed.account.aws_account_id
    whole = trail.digest_file(bucket=BUCKET, log_keys=[], account=account, end=at(4), previous="")
    odd = gzip.compress(json.dumps(json.loads(gzip.decompress(whole)) | change).encode())
    digest = testbed.put(key=trail.digest_key(account=account, at=at(4)), body=odd)
    testbed.announce(digest, testbed.put(trail.stop_instances("i-1")))
    assert [len(part) for part in testbed.run()] == [1, 0]
    assert [event[0] for event in events()] == ["i-1"]
    assert not TrailDigest.objects.exists()


def test_questions_to_ec2_are_recorded(testbed, queued):
    instance_id = testbed.instance(testbed.image())
    testbed.ingest(trail.start_instances(instance_id, "i-gone"))
    run = DescribeRun.objects.get()
    assert (run.kind, run.region, run.outcome) == ("on_demand", "us-east-1", "ok")
    assert (run.listed, run.running) == (1, 1)
    assert run.finished_at >= run.started_at


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("UnauthorizedOperation", "denied"), ("RequestLimitExceeded", "throttled"), ("X", "failed")],
)
def test_questions_without_answer_are_recorded(testbed, code, outcome):
    testbed.aws.refuse("ec2", "DescribeInstances", code)
    testbed.deliver(trail.start_instances("i-1"))
    testbed.run()
    run = DescribeRun.objects.get()
    assert (run.outcome, run.error_code) == (outcome, code)


def test_what_ec2_knew_better_is_a_correction(testbed, queued, one_clock):
    instance_id = testbed.instance(testbed.image(), "c5.large")
    known = make_instance(account=testbed.account, cloud_instance_id=instance_id)
    make_event(instance=known, event_type="power_off", occurred_at=at(1), instance_type=None)
    with time_machine.travel(at(9), tick=False):
        testbed.ingest(trail.start_instances(instance_id, at=at(5)))
    event = InstanceEvent.objects.get(event_type="power_on")
    image, size = Correction.objects.order_by("kind")
    assert (image.kind, image.event_id) == ("image_filled", None)
    assert (size.kind, size.event_id) == ("type_filled", event.id)
    for correction in (image, size):
        assert correction.instance == known
        assert correction.describe_run == DescribeRun.objects.get()
        assert at(9) <= correction.unsure_to < at(9, 10)
    assert event.instance_type == "c5.large"


def test_facts_of_instances_are_kept_on_change(testbed, queued):
    image = make_aws_image()
    spot = launched("i-1", image=image.cloud_image_id, instanceLifecycle="spot")
    testbed.ingest(trail.run_instances(spot, at=at(1)))
    testbed.ingest(
        trail.stop_instances("i-1", at=at(2)),
        trail.modify_instance("i-1", "m5.large", at=at(3)),
        trail.modify_instance("i-1", "c5.large", at=at(4)),
    )
    testbed.ingest(trail.run_instances(spot, at=at(1)))
    first, second = InstanceFact.objects.order_by("observed_at")
    assert (first.observed_at, first.source) == (at(1), "cloudtrail")
    assert (first.instance_type, first.lifecycle, first.tenancy) == ("m5.large", "spot", "default")
    assert (first.zone, first.cpu_cores, first.threads_per_core) == ("us-east-1a", 1, 2)
    assert (second.observed_at, second.instance_type, second.lifecycle) == (
        at(4),
        "c5.large",
        "spot",
    )


def test_changes_by_tags_leave_their_evidence(testbed):
    known = make_aws_image()
    record = trail.create_tags(known.cloud_image_id, at=at(2))
    testbed.ingest(record)
    fact = MachineImage.objects.get().facts.get()
    assert (fact.reason, fact.is_rhel) == ("tag", True)
    assert fact.user == testbed.account.user
    assert [fact.evidence[name] for name in ("rule", "tag", "at")] == [
        "CreateTags",
        trail.RHEL_TAG,
        at(2).isoformat(),
    ]


def test_what_is_read_is_counted_in_metrics(testbed, queued):
    def value(name, **labels):
        return REGISTRY.get_sample_value(f"cloudigrade_cloudtrail_{name}", labels) or 0

    def age(limit):
        name = "cloudigrade_ingest_event_age_seconds_bucket"
        return REGISTRY.get_sample_value(name, {"cloud": "aws", "le": limit}) or 0

    def read():
        return {
            "done": value("messages_total", outcome="done"),
            "failed": value("messages_total", outcome="failed"),
            "ok": value("files_total", outcome="ok"),
            "malformed": value("records_total", outcome="malformed"),
            "relevant": value("records_total", outcome="relevant"),
            "stored": value("events_total"),
            "lag": value("lag_seconds_count"),
            "old": age("+Inf") - age("3600.0"),
            "waited": REGISTRY.get_sample_value("cloudigrade_ingest_queue_wait_seconds_count") or 0,
        }

    before = read()
    testbed.deliver(
        trail.stop_instances("i-1", "i-2"), trail.start_instances("i", requestParameters=None)
    )
    testbed.announce(body="nonsense")
    testbed.run()
    after = read()
    assert {name: after[name] - before[name] for name in before} == {
        "done": 1,
        "failed": 1,
        "ok": 1,
        "malformed": 1,
        "relevant": 1,
        "stored": 2,
        "lag": 1,
        "old": 1,
        "waited": 1,
    }
