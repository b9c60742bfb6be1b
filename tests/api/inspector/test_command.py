"""The program: command line, exit codes, delivery (spec 05 §9, 13 §1, §6)."""

import base64
import hashlib
import json
import re

import pytest

from api.inspector import command
from api.inspector.delivery import NotDeliveredError, deliver
from api.inspector.limits import MIB, Limits
from tests.api.inspector.running import run_program
from tests.generators import systems

pytestmark = pytest.mark.slow

BUCKET = "test-cloudigrade-inspections"
KEY = re.compile(r"InspectionResults/\d{4}-\d\d/\d\d/\d\d\.\d\d\.\d\d-[0-9a-f-]{36}\.json")


@pytest.fixture
def tree(tmp_path):
    return systems.rhel_8(tmp_path / "tree")


@pytest.fixture
def bucket(aws, monkeypatch):
    aws.client("s3").create_bucket(Bucket=BUCKET)
    monkeypatch.setenv(command.BUCKET, BUCKET)
    return aws


def stored(aws):
    s3 = aws.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found
    }


def test_the_result_is_delivered_as_one_object(bucket, tree):
    assert command.main(["-c", "aws", "-t", "ami-1", str(tree)]) == 0
    ((key, body),) = stored(bucket).items()
    assert KEY.fullmatch(key)
    result = json.loads(body)
    assert result["cloud"] == "aws"
    assert result["producer"] == {"name": "cloudigrade-inspector", "version": "1.0.0"}
    assert result["images"]["ami-1"]["rhel_version"] == "8.4"


class FailingS3:
    """S3 that fails so many times, and remembers what it got."""

    def __init__(self, failures):
        self.failures = failures
        self.got = []

    def put_object(self, **arguments):
        from botocore.exceptions import EndpointConnectionError  # noqa: PLC0415

        self.got.append(arguments)
        if len(self.got) <= self.failures:
            raise EndpointConnectionError(endpoint_url="https://s3.invalid")


def test_it_is_delivered_with_a_checksum_at_the_third_attempt():
    s3 = FailingS3(2)
    pauses = []
    deliver("{}", BUCKET, connect=lambda: s3, sleep=pauses.append)
    digest = base64.b64encode(hashlib.md5(b"{}").digest()).decode()
    assert [one["ContentMD5"] for one in s3.got] == [digest] * 3
    assert len({one["Key"] for one in s3.got}) == 1
    assert len(pauses) == 2


def test_it_is_not_delivered_after_three_attempts():
    s3 = FailingS3(9)
    with pytest.raises(NotDeliveredError):
        deliver("{}", BUCKET, connect=lambda: s3, sleep=lambda _: None)
    assert len(s3.got) == 3


def test_exit_code_1_if_the_bucket_is_not_there(aws, monkeypatch, tree):
    monkeypatch.setattr("api.inspector.delivery._PAUSE", 0)
    monkeypatch.setenv(command.BUCKET, "nowhere")
    assert command.main(["-t", "ami-1", str(tree)]) == 1


def test_exit_code_1_without_a_place_for_the_result(tree, monkeypatch):
    monkeypatch.delenv(command.BUCKET, raising=False)
    assert command.main(["-t", "ami-1", str(tree)]) == 1


def test_exit_code_1_if_the_file_cannot_be_written(tree, tmp_path):
    output = str(tmp_path / "no" / "folder")
    assert command.main(["-t", "ami-1", str(tree), "--output", output]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--cloud", "aws"],
        ["--cloud", "moon", "-t", "ami-1", "/dev/null"],
        ["-t", "ami-1"],
        ["-t", "ami-1", "/dev/null", "--unknown"],
    ],
)
def test_exit_code_2_for_a_wrong_command_line(arguments):
    assert run_program(*arguments).returncode == 2


@pytest.mark.parametrize("value", ["-1", "0", "x", "1.5"])
def test_exit_code_2_for_limits_that_are_none(value, tree):
    done = run_program("-t", "ami-1", tree, INSPECTION_MAX_SECONDS=value)
    assert done.returncode == 2
    assert "INSPECTION_MAX_SECONDS" in done.stderr


def test_limits_come_from_the_environment():
    assert command.read_limits({}) == Limits()
    assert command.read_limits(
        {
            "INSPECTION_MAX_SECONDS": "60",
            "INSPECTION_MAX_READ_BYTES": "1000",
            "INSPECTION_MAX_MEMORY_BYTES": str(100 * MIB),
        }
    ) == Limits(seconds=60, read_bytes=1000, memory_bytes=100 * MIB)


def test_several_drives_of_one_image(tree, tmp_path):
    other = tmp_path / "other"
    (other / "etc").mkdir(parents=True)
    output = tmp_path / "result.json"
    arguments = ["-t", "ami-1", str(tree), "-t", "ami-1", str(other), "-o", str(output)]
    assert command.main(arguments) == 0
    entry = json.loads(output.read_text())["images"]["ami-1"]
    assert list(entry["drives"]) == [str(tree), str(other)]
    assert entry["rhel_found"]


def test_what_is_neither_file_nor_device(tmp_path):
    partitions, errors = command.inspect_target("/dev/null", Limits(seconds=240))
    assert (partitions, errors) == ({}, ["/dev/null: is neither a file nor a block device"])
