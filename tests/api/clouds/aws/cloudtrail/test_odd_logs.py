"""Logs that a first reader got wrong: forms, and records that leave out what they are about.

The files of ``logs`` lose or double what they say if they are read by anything but a reader of JSON
(faults 1, 2 and 6).
"""

import gzip
import json
import logging
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from prometheus_client import REGISTRY

from api.clouds.aws.cloudtrail import read
from api.clouds.aws.describe.requests import DESCRIBE
from api.models import IngestHour, IngestObject, MachineImage
from tests.api.clouds.aws.testbed import at, events, ingest, make_account, runs
from tests.factories import make_aws_image, number
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import OMITTED, launched
from tests.generators.fleet import LogFile

pytestmark = pytest.mark.django_db

LOGS = Path(__file__).with_name("logs")


class Text(LogFile):
    """A log file of the customer's with a text of its own."""

    def __init__(self, text):
        super().__init__(trail.log_key(name=f"N{number()}"), [])
        self.text = text

    @property
    def body(self):
        return gzip.compress(self.text.encode())


@pytest.fixture
def account(logs):
    return make_account(trail.ACCOUNT)


@pytest.fixture
def deliver(logs, account):
    """Deliver log files, each as a text or a list of records, in one batch."""

    def deliver(*files):
        texts = [one if isinstance(one, str) else trail.log_text(one).decode() for one in files]
        messages = logs.notified(map(Text, texts))
        assert ingest(messages) == messages

    return deliver


def text_of(name):
    return (LOGS / name).read_text().replace("123456789013", trail.ACCOUNT)


def described(queued):
    return [task.args for task in queued.named(DESCRIBE)]


def skipped():
    return IngestHour.objects.get().skipped


def counted(reason):
    labels = {"outcome": reason}
    return REGISTRY.get_sample_value("cloudigrade_cloudtrail_records_total", labels) or 0


def test_a_record_with_its_keys_in_another_order(deliver, queued):
    deliver(text_of("key-order.json"))
    assert events() == [
        ("i-1", "power_on", at(1), "m5.large"),
        ("i-2", "power_on", at(2), "m5.large"),
    ]
    assert skipped() == {"other_event": 1}


def test_blanks_after_colons(deliver, queued):
    deliver(text_of("blank-after-colon.json"))
    assert events() == [
        ("i-1", "power_on", at(1), "m5.large"),
        ("i-1", "power_off", at(4), None),
    ]
    assert runs() == [("i-1", at(1), at(4), "m5.large")]


def test_a_launch_whose_response_is_omitted(deliver, account, queued, caplog):
    """Decision 46: no event, a description at once, and a reason of its own."""
    before = counted("omitted")
    with caplog.at_level(logging.WARNING):
        deliver(text_of("launch-response-omitted.json"))
    assert events() == []
    assert described(queued) == [(account.id,)]
    assert skipped() == {"omitted": 1}
    assert counted("omitted") == before + 1
    assert "Record 0 of " in caplog.text
    assert f"AWS account {account.aws_account_id} is described" in caplog.text
    assert not IngestObject.objects.exists()


def test_all_tags_are_taken_off(deliver, queued):
    """Decision 34: a set of tags that is empty means all."""
    image = make_aws_image(cloud_image_id="ami-1", inspection_json="{}", status="inspected")
    put_on, taken_off = json.loads(text_of("delete-all-tags.json"))["Records"]
    deliver([put_on])
    assert MachineImage.objects.get(id=image.id).is_rhel
    deliver([taken_off])
    assert not MachineImage.objects.get(id=image.id).is_rhel
    deliver(text_of("delete-all-tags.json"))
    assert not MachineImage.objects.get(id=image.id).is_rhel


def test_one_description_for_an_account_and_a_batch(deliver, account, queued):
    """Decision 46: however many launches of however many files cannot be read."""
    other = make_account("210987654321")
    lost = [
        trail.run_instances(launched("i-1"), account=number, responseElements=response)
        for number in (account.aws_account_id, other.aws_account_id)
        for response in (OMITTED, None)
    ]
    deliver(lost, lost, [trail.run_instances(launched("i-2"), at=at(1)), *lost])
    assert sorted(described(queued)) == sorted([(account.id,), (other.id,)])
    assert [event[0] for event in events()] == ["i-2"]
    assert skipped() == {"omitted": 6, "malformed": 6}


@pytest.mark.parametrize(
    "columns",
    [{"is_enabled": False}, {"platform_application_is_paused": True}, {"enabled_at": at(23)}],
)
def test_no_description_of_an_account_that_is_not_metered(deliver, account, queued, columns):
    type(account).objects.update(**columns)
    deliver([trail.run_instances(launched("i-1"), responseElements=OMITTED)])
    assert described(queued) == []
    assert skipped() == {"omitted": 1}


def test_a_launch_that_names_only_some_of_its_instances(deliver, account, queued, caplog):
    """Decision 46: the others are asked for at once, and not silently."""
    before = REGISTRY.get_sample_value("cloudigrade_cloudtrail_incomplete_records_total") or 0
    response = {"instancesSet": {"items": [launched("i-1"), {}]}}
    with caplog.at_level(logging.WARNING):
        deliver([trail.run_instances(launched("i-1"), at=at(1), responseElements=response)])
    assert events() == [("i-1", "power_on", at(1), "m5.large")]
    assert described(queued) == [(account.id,)]
    assert (
        REGISTRY.get_sample_value("cloudigrade_cloudtrail_incomplete_records_total") == before + 1
    )
    assert "names only some of its instances" in caplog.text


def test_a_stop_of_hundreds_whose_response_is_omitted(deliver, queued):
    """Decision 46: its instances are those of the request."""
    ids = [f"i-{place:03}" for place in range(400)]
    deliver(
        [
            *(trail.run_instances(launched(one), at=at(1)) for one in ids),
            trail.stop_instances(*ids, at=at(2)) | {"responseElements": OMITTED},
        ]
    )
    assert runs() == [(one, at(1), at(2), "m5.large") for one in ids]
    assert described(queued) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"awsRegion": "us-" + "east-" * 40 + "1"},
        {"awsRegion": "evil.example/x"},
        {"userIdentity": {"accountId": "9" * 40}},
        {"userIdentity": {"accountId": ["1"]}},
        {"eventTime": "20200102"},
        {"eventTime": "2020-13-01T00:00:00Z"},
    ],
)
def test_a_malformed_record_blocks_nothing_else(deliver, queued, changes):
    """Issue 14, item 11."""
    deliver(
        [
            trail.stop_instances("i-1", at=at(1)),
            trail.start_instances("i-odd", at=at(2)) | changes,
            trail.stop_instances("i-2", at=at(3)),
        ]
    )
    assert {"i-1", "i-2"} <= {event[0] for event in events()}
    assert IngestObject.objects.get().outcome == "ok"


def test_a_record_nested_without_end_costs_only_itself(deliver, queued):
    """Fault 2: a file is as deep as its deepest record, which may concern nobody."""
    stop, start = trail.stop_instances("i-1", at=at(1)), trail.start_instances("i-2", at=at(2))
    stop["requestParameters"]["deep"] = start["userAgent"] = "DEEP"
    text = trail.log_text([trail.noise(1) | {"userAgent": "DEEP"}, stop, start]).decode()
    deliver(text.replace('"DEEP"', "[" * 3000 + '{"a":' * 3000 + "1" + "}" * 3000 + "]" * 3000))
    assert [event[:3] for event in events()] == [
        ("i-1", "power_off", at(1)),
        ("i-2", "power_on", at(2)),
    ]
    assert IngestObject.objects.get().records == 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("eTag", "a\0b"),
        ("eTag", "\ud800"),
        ("eTag", "e" * 100_000),
        ("size", 2**70),
        ("size", -(2**70)),
        ("eventTime", "0001-01-01T00:00:00+23:59"),
        ("eventTime", "9999-12-31T23:59:59-23:59"),
    ],
)
@pytest.mark.parametrize("is_missing", [False, True])
def test_nothing_that_a_notification_says_beside_the_name_keeps_a_log(
    logs, account, queued, monkeypatch, is_missing, place, value
):
    """Fault 28: such logs ended in the dead letter queue."""
    made = trail.log_text([trail.stop_instances("i-1", at=at(1))]).decode()
    (message,) = logs.notified([Text(made)])
    body = json.loads(message.body)
    (record,) = body["Records"]
    (record if place == "eventTime" else record["s3"]["object"])[place] = value
    if is_missing:
        missing = ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        monkeypatch.setattr(read, "fetch", Mock(side_effect=missing))
    odd = replace(message, body=json.dumps(body))
    assert ingest([odd]) == [odd]
    assert IngestObject.objects.get().outcome == ("missing" if is_missing else "ok")
    assert len(events()) == (not is_missing)
