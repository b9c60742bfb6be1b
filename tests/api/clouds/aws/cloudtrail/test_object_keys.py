"""Keys of objects in the trail bucket (spec 04 §8.3, 09 P13; fault 17)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.aws.cloudtrail.object_keys import ObjectKind, parse_key

NAME = "123456789012_CloudTrail_us-east-1_20200102T0305Z_AbCdEfGhIjKlMnOp.json.gz"
FOLDER = "AWSLogs/123456789012/CloudTrail/us-east-1/2020/01/02"


def test_a_log_as_cloudtrail_names_it():
    key = parse_key(f"{FOLDER}/{NAME}")
    assert (key.account_id, key.kind, key.region) == ("123456789012", ObjectKind.LOG, "us-east-1")
    assert key.delivered_at == datetime(2020, 1, 2, 3, 5, tzinfo=UTC)
    assert key.packed_name == "05_AbCdEfGhIjKlMnOp"


def test_a_copy_of_another_name():
    """Its name says nothing, and is nothing else than a name."""
    key = parse_key(f"{FOLDER}/f.json.gz")
    assert (key.kind, key.region, key.delivered_at) == (ObjectKind.LOG, "us-east-1", None)
    assert key.packed_name == key.text


def test_a_name_that_tells_of_another_account_is_not_packed():
    """The folder decides whose the log is."""
    key = parse_key(f"AWSLogs/210987654321/CloudTrail/us-east-1/2020/01/02/{NAME}")
    assert key.account_id == "210987654321"
    assert key.packed_name == key.text


def test_an_account_without_its_leading_zeros():
    """Spec 04 §2.3: all spellings match."""
    key = parse_key("AWSLogs/12345678901/CloudTrail/us-east-1/2020/01/02/f.json.gz")
    assert key.account_id == "012345678901"


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("CloudTrail-Digest", ObjectKind.DIGEST), ("CloudTrail-Insight", ObjectKind.INSIGHT)],
)
def test_what_is_no_log(folder, kind):
    name = f"123456789012_{folder}_eu-west-1_dev-123456789012_us-east-1_20200102T030500Z.json.gz"
    key = parse_key(f"AWSLogs/123456789012/{folder}/eu-west-1/2020/01/02/{name}")
    assert (key.kind, key.region, key.delivered_at) == (kind, "eu-west-1", None)


@pytest.mark.parametrize(
    "text",
    [
        "AWSLogs/some-bogus-id/path/f.gz",
        "AWSLogs/123456789012",
        "AWSLogs/123456789012/x",
        "AWSLogs/123456789012/path/f.json.gz",
        "AWSLogs//x",
        "InspectionResults/x.json",
        "",
        FOLDER,
        f"{FOLDER}/",
        f"{FOLDER}/x/{NAME}",
        f"/{FOLDER}/{NAME}",
        f"prefix/{FOLDER}/{NAME}",
        f"{FOLDER}/{NAME}".lower(),
        f"AWSLogs/123456789012/{FOLDER}/{NAME}",
        f"AWSLogs/210987654321/CloudTrail/us-east-1/2020/01/{FOLDER}/{NAME}",
        f"AWSLogs/o-abc/{FOLDER.removeprefix('AWSLogs/')}/{NAME}",
        f"AWSLogs/o-exampleorgid/{FOLDER.removeprefix('AWSLogs/')}/{NAME}",
        f"{FOLDER.replace('123456789012', '1234567890123')}/{NAME}",
        FOLDER.replace("123456789012", "\u0661" * 12) + f"/{NAME}",
        f"{FOLDER.replace('CloudTrail', 'CloudTrail-Other')}/{NAME}",
        f"{FOLDER.replace('CloudTrail', 'Config')}/{NAME}",
        f"{FOLDER.replace('us-east-1', 'x')}/{NAME}",
        f"{FOLDER.replace('us-east-1', 'us-east-1.evil.example')}/{NAME}",
        f"{FOLDER.replace('2020/01/02', '2020/1/2')}/{NAME}",
        f"{FOLDER.replace('2020/01/02', '..')}/{NAME}",
        f"{FOLDER}/{NAME}.exe",
        f"{FOLDER}/x{NAME}",
        f"{FOLDER}/{NAME}\n",
        f"{FOLDER}/x\n05_AbCdEfGhIjKlMnOp",
        f"{FOLDER}/x\x8505_AbCdEfGhIjKlMnOp",
        f"{FOLDER}/{NAME.replace('Z_', 'Z_a/')}",
        f"{FOLDER}/{NAME.replace('Z_', 'Z')}",
        f"{FOLDER}/{NAME.removesuffix('.gz')}",
    ],
)
def test_keys_that_cloudtrail_does_not_write(text):
    assert parse_key(text) is None


@pytest.mark.parametrize(("size", "is_read"), [(1024, True), (1025, False)])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_keys_are_no_longer_than_s3_has_them(letter, size, is_read):
    """Fault 17: an index takes no key of any length."""
    folder = "AWSLogs/123456789012/CloudTrail/us-east-1/2020/01/02/"
    left = size - len(folder) - len(".json.gz")
    name = letter * (left // len(letter.encode())) + "x" * (left % len(letter.encode()))
    assert (parse_key(f"{folder}{name}.json.gz") is not None) == is_read


def test_an_impossible_day_is_no_delivery_time():
    key = parse_key(f"{FOLDER}/{NAME.replace('20200102', '20209999')}")
    assert key.delivered_at is None


@given(st.text())
def test_any_text_is_understood_or_nobodys(text):
    key = parse_key(f"{FOLDER}/{text}")
    assert key is None or (key.account_id, key.kind) == ("123456789012", ObjectKind.LOG)
    assert key is None or key.packed_name.splitlines() == [key.packed_name]
    assert parse_key(text) is None
