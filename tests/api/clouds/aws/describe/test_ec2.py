"""What is taken from EC2's answers, however odd they are (README decisions 31, 47; fault 28)."""

import io
from datetime import UTC, datetime

import pytest
from botocore.awsrequest import AWSResponse
from botocore.parsers import ResponseParserError

from api.clouds.aws.arn import parse_arn
from api.clouds.aws.describe.ec2 import (
    PENDING,
    RUNNING,
    STOPPED,
    UNKNOWN,
    describe_all_instances,
    describe_images,
    image_of,
    instance_of,
    page_of,
    time_of_reason,
)

ARN = parse_arn("arn:aws:iam::123456789013:role/r")
ENDED = datetime(2023, 1, 1, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "reason",
    [
        "User initiated (2023-01-01 00:00:05 GMT)",
        "User initiated (2023-01-01 00:00:05 UTC)",
        "User initiated (2023-01-01 00:00:05)",
        "Service initiated (2023-01-01 00:00:05 GMT)",
        "Server.SpotInstanceTermination (2023-01-01 00:00:05 GMT): reclaimed",
        "Client.UserInitiatedShutdown: User initiated shutdown (2023-01-01 00:00:05 GMT)",
    ],
)
def test_reasons_with_a_time(reason):
    assert time_of_reason(reason) == ENDED


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "",
        "User initiated",
        "User initiated ()",
        "Client.UserInitiatedShutdown: User initiated shutdown",
        "Server.SpotInstanceTermination: Spot Instance was terminated due to no capacity",
        "Server.InternalError",
        "User initiated (2023-13-01 00:00:05 GMT)",
        "User initiated (2023-02-30 00:00:05 GMT)",
        "User initiated (2023-01-01 00:00:05 PST)",
        "User initiated (yesterday)",
    ],
)
def test_reasons_without_one(reason):
    assert time_of_reason(reason) is None


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"Code": 16, "Name": "running"}, RUNNING),
        ({"Code": 256 + 80}, STOPPED),
        ({"Name": "pending"}, PENDING),
        ({"Code": None, "Name": "stopped"}, STOPPED),
        ({"Code": 17}, UNKNOWN),
        ({"Name": "hibernating"}, UNKNOWN),
        ({}, UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_states(state, code):
    assert instance_of({"InstanceId": "i-1", "State": state}).state == code


def test_what_our_columns_cannot_hold_is_left_out():
    instance = instance_of(
        {
            "InstanceId": "i-1",
            "InstanceType": "x" * 65,
            "SubnetId": "x" * 257,
            "InstanceLifecycle": "x" * 33,
            "Placement": {"Tenancy": "x" * 33, "AvailabilityZone": "x" * 65},
            "CpuOptions": {"CoreCount": 2**31, "ThreadsPerCore": 2},
        }
    )
    assert (instance.instance_type, instance.subnet) == (None, None)
    told = {name: value for name, value in instance.facts.items() if value is not None}
    assert told == {"threads_per_core": 2}
    image = image_of({"ImageId": "ami-1", "OwnerId": "1" * 13, "Architecture": "x" * 33})
    assert (image.owner_id, image.architecture) == (None, None)


def test_entries_that_cannot_be_read_are_counted():
    reservations = [{"Instances": [{"InstanceId": "i-1"}, {}, None]}, {"Instances": None}, None]
    page = page_of(reservations)
    assert [one.instance_id for one in page.instances] == ["i-1"]
    assert page.unreadable == 4
    assert page_of(None) == ([], 1)
    assert page_of([{}, {"Instances": []}]) == ([], 0)


@pytest.fixture
def answers(events):
    """Let EC2 answer with what stands here, by action."""
    bodies = {}

    def answer(request, event_name, **_):
        body = bodies.get(event_name.rpartition(".")[2])
        if body is None:
            return None
        raw = io.BytesIO(body.encode())
        raw.stream = lambda *_, **__: iter([raw.getvalue()])
        return AWSResponse(request.url, 200, {}, raw)

    events.register("before-send.ec2", answer, unique_id="answers")
    yield bodies
    events.unregister("before-send.ec2", unique_id="answers")


def listing(*instances):
    items = "".join(f"<item>{instance}</item>" for instance in instances)
    return (
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        "<requestId>r</requestId><reservationSet><item><reservationId>r-1</reservationId>"
        f"<instancesSet>{items}</instancesSet></item></reservationSet>"
        "</DescribeInstancesResponse>"
    )


def test_an_odd_value_costs_only_itself(answers):
    """Decision 47: the SDK alone would give the whole page up."""
    good = (
        "<instanceId>i-1</instanceId><instanceState><code>16</code><name>running</name>"
        "</instanceState><launchTime>2023-01-01T00:00:05.000Z</launchTime>"
        "<instanceType>m5.large</instanceType>"
    )
    answers["DescribeInstances"] = listing(
        good,
        "<instanceId>i-2</instanceId><launchTime>soon</launchTime>"
        "<instanceState><code>on</code><name>stopped</name></instanceState>",
        "<instanceId>i-3</instanceId><placement>a</placement><placement>b</placement>"
        "<cpuOptions><coreCount>two</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>",
        "<imageId>ami-1</imageId>",
    )
    (page,) = describe_all_instances(ARN, "us-east-1")
    first, second, third = page.instances
    assert (first.instance_id, first.state, first.launched_at) == ("i-1", RUNNING, ENDED)
    assert (second.instance_id, second.state, second.launched_at) == ("i-2", STOPPED, None)
    assert (third.instance_id, third.state, third.facts["threads_per_core"]) == ("i-3", UNKNOWN, 2)
    assert page.unreadable == 1


def test_an_empty_region(answers):
    answers["DescribeInstances"] = (
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        "<requestId>r</requestId><reservationSet/></DescribeInstancesResponse>"
    )
    assert list(describe_all_instances(ARN, "us-east-1")) == [([], 0)]


@pytest.mark.parametrize("body", ["<html><body>welcome</body></html>", "welcome", ""])
def test_the_answer_of_somebody_else_is_none(answers, body):
    """Taken for a list of nothing, it would end everything that runs."""
    answers["DescribeInstances"] = body
    with pytest.raises(ResponseParserError):
        list(describe_all_instances(ARN, "us-east-1"))


def test_images_without_ids_cost_only_themselves(answers):
    answers["DescribeImages"] = (
        '<DescribeImagesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        "<requestId>r</requestId><imagesSet><item><name>x</name></item>"
        "<item><imageId>ami-1</imageId><tagSet><item/></tagSet></item></imagesSet>"
        "</DescribeImagesResponse>"
    )
    (image,) = describe_images(ARN, "us-east-1", ["ami-1", "ami-2"])
    assert image.image_id == "ami-1"
