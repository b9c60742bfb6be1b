"""The log record behind an event (spec 10 §1, acceptance 10)."""

import gzip
import json

import boto3
import pytest
from botocore.config import Config

from api.clouds.aws.cloudtrail import stored_records
from api.models import IngestObject, InstanceEvent
from tests.api.internal.callers import ANYBODY, B

pytestmark = pytest.mark.django_db

BUCKET = "trails-of-test"
KEY = "AWSLogs/1/CloudTrail/us-east-1/2023/03/10/x.json.gz"
RECORDS = [
    '{"eventName":"RunInstances",  "n":1.50, "text":"\\u00e4 \\n"}',
    '{ "eventName" : "StopInstances", "n" : 1e3 }',
]


@pytest.fixture
def s3(aws, monkeypatch):
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    monkeypatch.setattr(stored_records, "s3", lambda: client)
    return client


@pytest.fixture
def event(environment):
    """An event from the second record of a log file."""
    file = IngestObject.objects.create(
        bucket=BUCKET, key=KEY, aws_account_id="1" * 12, outcome="ok"
    )
    environment.instance("on 10T14", source_object=file.id, source_index=1)
    return InstanceEvent.objects.get()


def store(s3, text, key=KEY):
    s3.put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))


def get(event_id):
    return ANYBODY.get(f"{B}/instanceevents/{event_id}/record/")


def test_acceptance_10_the_very_bytes(s3, event):
    store(s3, f'{{"Records":[{RECORDS[0]} , {RECORDS[1]}]}}')
    answer = get(event.id)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.content.decode() == RECORDS[1]


def test_a_file_that_is_not_strictly_json(s3, event):
    store(s3, f'\ufeff{{"Records":[{RECORDS[0]}, {RECORDS[1]}], "x": NaN}}'.lstrip("\ufeff"))
    assert get(event.id).json() == json.loads(RECORDS[1])


@pytest.mark.parametrize("text", ['{"Records":[{}]}', '{"Records":{}}', "[]", "no JSON", '{"a":1}'])
def test_a_file_without_the_record(s3, event, text):
    store(s3, text)
    assert get(event.id).status_code == 404


def test_a_file_that_is_gone_or_archived(s3, event):
    assert get(event.id).status_code == 404
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"x", StorageClass="GLACIER")
    answer = get(event.id)
    assert (answer.status_code, answer.json()) == (409, {"detail": "Archived."})


def test_events_from_no_log(environment):
    environment.instance("on 10T14", origin="describe_reconcile", source_id="7")
    assert get(InstanceEvent.objects.get().id).status_code == 404
    for unknown in ("0", "99999999", "9" * 30, "9" * 5000, "x", "-1"):
        assert get(unknown).status_code == 404


def test_without_s3(event, monkeypatch):
    nobody = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(stored_records, "s3", lambda: nobody)
    answer = get(event.id)
    assert (answer.status_code, answer.json()) == (
        503,
        {"detail": "The log file cannot be read now."},
    )
