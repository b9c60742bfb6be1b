"""Logs at the edges of what CloudTrail writes: each says what it says, and costs nothing else."""

import gzip
import json
from datetime import timedelta

import pytest

from api.models import Instance
from tests.api.clouds.aws.testbed import ACCOUNT, at, events, ingest, make_account, runs
from tests.factories import number
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched
from tests.generators.fleet import LogFile

pytestmark = pytest.mark.django_db

MIDNIGHT = at(0, day=3)
MICROSECOND = timedelta(microseconds=1)


class PackedFile(LogFile):
    """A log file of the customer's, packed already."""

    def __init__(self, packed, region):
        super().__init__(trail.log_key(account=ACCOUNT, region=region, name=f"N{number()}"), [])
        self.packed = packed

    @property
    def body(self):
        return self.packed


@pytest.fixture
def deliver(logs, queued):
    """Deliver a log file, packed already or a list of records; tell whether it is done with."""
    make_account(ACCOUNT)

    def deliver(file, region=trail.REGION):
        packed = file if isinstance(file, bytes) else gzip.compress(text_of(*file))
        messages = logs.notified([PackedFile(packed, region)])
        return ingest(messages) == messages

    return deliver


def text_of(*records):
    return trail.log_text(records).replace(trail.ACCOUNT.encode(), ACCOUNT.encode())


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2020-01-03T00:00:00Z", MIDNIGHT),
        ("2020-01-03T00:00:00.000Z", MIDNIGHT),
        ("2020-01-03T02:00:00+02:00", MIDNIGHT),
        ("2020-01-02T19:00:00-05:00", MIDNIGHT),
        ("2020-01-02T23:59:59.999999999Z", MIDNIGHT - MICROSECOND),
        ("2020-01-03T00:00:00.000001Z", MIDNIGHT + MICROSECOND),
    ],
)
def test_times_around_midnight(deliver, time, moment):
    start = trail.run_instances(launched("i-1"), at=at(12))
    assert deliver([start, trail.stop_instances("i-1", eventTime=time)])
    assert deliver([trail.run_instances(launched("i-2"), eventTime=time)])
    assert runs() == [("i-1", at(12), moment, "m5.large"), ("i-2", moment, None, "m5.large")]


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"])
@pytest.mark.parametrize("name", ["RunInstances", "StopInstances", "CreateTags"])
def test_a_time_at_the_end_of_all_time_costs_nothing_else(deliver, time, name):
    odd = {
        "RunInstances": trail.run_instances(launched("i-9"), eventTime=time),
        "StopInstances": trail.stop_instances("i-1", eventTime=time),
        "CreateTags": trail.create_tags("ami-1", eventTime=time),
    }[name]
    assert deliver([trail.run_instances(launched("i-1"), at=at(12)), odd])
    assert deliver([trail.stop_instances("i-1", at=at(14))])
    assert runs()[0] == ("i-1", at(12), at(14), "m5.large")


@pytest.mark.parametrize(
    ("region", "partition"), [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_other_partitions(deliver, region, partition):
    launch = json.dumps(trail.run_instances(launched("i-1"), region=region))
    assert deliver([json.loads(launch.replace("arn:aws:", f"arn:{partition}:"))], region=region)
    assert Instance.objects.get().region == region
    assert [event[:2] for event in events()] == [("i-1", "power_on")]


def test_forms_of_gzip(deliver):
    first, second, third, fourth = (
        text_of(trail.run_instances(launched(f"i-{name}"))) for name in range(4)
    )
    assert deliver(gzip.compress(first[:50]) + gzip.compress(first[50:]))
    assert deliver(gzip.compress(second) + bytes(100))
    assert deliver(gzip.compress(b"\xef\xbb\xbf" + third))
    # What follows may be the rest of a damaged log: it becomes a dead letter, not half a log.
    assert not deliver(gzip.compress(fourth) + b"garbage")
    assert [event[0] for event in events()] == ["i-0", "i-1", "i-2"]


def test_ids_and_names_in_other_letters(deliver):
    """EC2 takes ids in any letters; the names of events and tags are what they are."""
    assert deliver(
        [
            trail.run_instances(launched("i-a"), at=at(1)),
            trail.stop_instances("i-a", at=at(2), eventName="stopinstances"),
            trail.create_tags("ami-1", tags=[trail.RHEL_TAG.upper()], at=at(2)),
            trail.stop_instances("I-A", at=at(3)),
        ]
    )
    assert runs() == [("i-a", at(1), at(3), "m5.large")]
    assert not Instance.objects.get().machine_image.rhel_detected_by_tag


def test_one_launch_of_several_types_and_images(deliver):
    items = [launched("i-1", image="ami-1"), launched("i-2", image="ami-2", type="c5.large")]
    assert deliver([trail.run_instances(*items[1:], template="lt-1", at=at(1))])
    items.append(launched("i-3", image="ami-3", type="c5.xlarge"))
    assert deliver([trail.run_instances(*items, template="lt-1", at=at(2))])
    assert [run[::3] for run in runs()] == [
        ("i-1", "m5.large"),
        ("i-2", "c5.large"),
        ("i-3", "c5.xlarge"),
    ]
    images = Instance.objects.order_by("cloud_instance_id")
    assert list(images.values_list("machine_image__cloud_image_id", flat=True)) == [
        "ami-1",
        "ami-2",
        "ami-3",
    ]


def test_terminated_twice(deliver):
    assert deliver(
        [
            trail.run_instances(launched("i-1"), at=at(1)),
            trail.start_instances("i-1", at=at(2)),
            trail.terminate_instances("i-1", "i-2", at=at(3)),
            trail.terminate_instances("i-1", at=at(4)),
        ]
    )
    assert runs() == [("i-1", at(1), at(3), "m5.large")]
