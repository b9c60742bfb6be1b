"""Keys of objects in the trail bucket (spec 04 §8.3, 09 P13)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.aws.keys import Kind, parse_key

NAME = "123456789012_CloudTrail_us-east-1_20200102T0305Z_AbCdEf.json.gz"
FOLDER = "AWSLogs/123456789012/CloudTrail/us-east-1/2020/01/02"


def test_a_log_as_cloudtrail_names_it():
    key = parse_key(f"{FOLDER}/{NAME}")
    assert (key.account_id, key.kind, key.region) == ("123456789012", Kind.LOG, "us-east-1")
    assert key.delivered_at == datetime(2020, 1, 2, 3, 5, tzinfo=UTC)
    assert key.packed_name == "05_AbCdEf"


def test_a_log_of_another_name():
    key = parse_key(f"{FOLDER}/f.json.gz")
    assert (key.kind, key.region, key.delivered_at) == (Kind.LOG, "us-east-1", None)
    assert key.packed_name == key.text


def test_a_name_that_tells_of_another_account_is_not_packed():
    key = parse_key(f"AWSLogs/210987654321/CloudTrail/us-east-1/2020/01/02/{NAME}")
    assert key.account_id == "210987654321"
    assert key.packed_name == key.text


def test_only_the_start_has_to_have_its_shape():
    key = parse_key("AWSLogs/12345678901/x")
    assert (key.account_id, key.kind, key.region) == ("012345678901", Kind.LOG, "")


@pytest.mark.parametrize(
    ("folder", "kind"), [("CloudTrail-Digest", Kind.DIGEST), ("CloudTrail-Insight", Kind.INSIGHT)]
)
def test_what_is_no_log(folder, kind):
    key = parse_key(f"AWSLogs/123456789012/{folder}/eu-west-1/2020/01/02/x.json.gz")
    assert (key.kind, key.region) == (kind, "eu-west-1")


@pytest.mark.parametrize(
    "text",
    [
        "AWSLogs/some-bogus-id/path/f.gz",
        "AWSLogs/o-abc/123456789012/CloudTrail/us-east-1/f.json.gz",
        "AWSLogs/123456789012",
        "AWSLogs//x",
        "awslogs/123456789012/x",
        "prefix/AWSLogs/123456789012/x",
        "InspectionResults/x.json",
        "",
    ],
)
def test_keys_of_nobody(text):
    assert parse_key(text) is None


def test_an_impossible_day_is_no_delivery_time():
    key = parse_key(f"{FOLDER}/{NAME.replace('20200102', '20209999')}")
    assert key.delivered_at is None


@given(st.text())
def test_any_text_is_understood_or_nobodys(text):
    key = parse_key(f"AWSLogs/123456789012/{text}")
    assert key.account_id == "123456789012"
    parse_key(text)
