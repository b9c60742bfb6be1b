"""Whole histories, made up and real, in any order and more than once (spec 04 §8.9)."""

import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.models import IngestHour, IngestObject, Instance, InstanceEvent, MachineImage
from tests.api.clouds.aws.testbed import events, ingest, make_account, runs
from tests.generators import cloudtrail as trail
from tests.generators.fleet import Fleet, LogFile

pytestmark = [pytest.mark.django_db, pytest.mark.random_history]


def deliver(logs, files, *, at_once=10):
    messages = logs.notified(files)
    for first in range(0, len(messages), at_once):
        some = messages[first : first + at_once]
        assert ingest(some) == some


def check(fleet):
    expected = fleet.expected
    assert {event[:3] for event in events()} == expected.events
    assert runs() == fleet.spans
    images = dict(
        Instance.objects.values_list("cloud_instance_id", "machine_image__cloud_image_id")
    )
    assert images == expected.images
    tagged = MachineImage.objects.filter(rhel_detected_by_tag=True)
    assert set(tagged.values_list("cloud_image_id", flat=True)) == expected.rhel
    tagged = MachineImage.objects.filter(openshift_detected=True)
    assert set(tagged.values_list("cloud_image_id", flat=True)) == expected.openshift
    total = sum(IngestObject.objects.values_list("stored", flat=True))
    assert total == len(expected.events) == sum(IngestHour.objects.values_list("stored", flat=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", ["in order", "shuffled", "backwards"])
def test_a_history_in_any_order(logs, seed, order):
    make_account(trail.ACCOUNT)
    fleet = Fleet(seed, noise=3).live(60)
    files = fleet.files()
    if order == "shuffled":
        random.Random(seed).shuffle(files)
    elif order == "backwards":
        files.reverse()
    deliver(logs, files, at_once=1 + seed * 3)
    check(fleet)


def test_a_history_twice(logs):
    make_account(trail.ACCOUNT)
    fleet = Fleet(77, noise=3).live(60)
    files = fleet.files()
    deliver(logs, [*files[::2], *files[1::2]])
    check(fleet)
    before = _everything()
    random.Random(1).shuffle(files)
    deliver(logs, files)
    check(fleet)
    assert _everything() == before


def _everything():
    return (
        list(InstanceEvent.objects.order_by("id").values()),
        list(Instance.objects.order_by("id").values()),
        list(MachineImage.objects.order_by("id").values()),
        list(IngestHour.objects.order_by("id").values("files", "records", "relevant", "stored")),
        IngestObject.objects.count(),
        runs(),
    )


def test_the_histories_of_several_customers_in_one_batch(logs):
    fleets = []
    for place in range(3):
        account = make_account(f"{place + 1:012}")
        images = [f"ami-{place}{name}" for name in "abc"]
        fleets.append(Fleet(100 + place, account=account.aws_account_id, images=images).live(30))
    files = [file for fleet in fleets for file in fleet.files()]
    random.Random(5).shuffle(files)
    deliver(logs, files)
    owners = Instance.objects.values_list("cloud_instance_id", "cloud_account__aws_account_id")
    assert dict(owners) == {one.id: fleet.account for fleet in fleets for one in fleet.machines}
    assert runs() == sorted(span for fleet in fleets for span in fleet.spans)


REAL = "cloudtrail-real"
OWNER = "123837392027"
INSTANCE = "i-0dbc91f429e48eeed"
ON, OFF = datetime(2023, 7, 10, 11, 55, 21, tzinfo=UTC), datetime(2023, 7, 10, 12, 8, 6, tzinfo=UTC)


class RealFile(LogFile):
    def __init__(self, path: Path) -> None:
        super().__init__(f"AWSLogs/{OWNER}/CloudTrail/us-east-1/2023/07/10/{path.name}", [])
        self.path = path

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def real_files():
    folder = Path(os.environ.get("CLOUDIGRADE_TEST_DATA", ""), REAL)
    if not os.environ.get("CLOUDIGRADE_TEST_DATA") or not folder.is_dir():
        pytest.skip("CLOUDIGRADE_TEST_DATA names no folder with real logs")
    return [RealFile(path) for path in sorted(folder.glob("*.json.gz"))]


@pytest.mark.parametrize("order", ["in order", "shuffled", "twice"])
def test_real_logs(logs, real_files, order):
    make_account(OWNER)
    if order == "shuffled":
        random.Random(3).shuffle(real_files)
    deliver(logs, real_files if order != "twice" else [*real_files, *reversed(real_files)])
    assert sorted(events(), key=lambda event: event[2]) == [
        (INSTANCE, "power_on", ON, "t3.micro"),
        (INSTANCE, "power_off", OFF, None),
    ]
    assert runs() == [(INSTANCE, ON, OFF, "t3.micro")]
    instance = Instance.objects.get()
    assert instance.machine_image.cloud_image_id == "ami-029eb80bc237bec6f"
    started = InstanceEvent.objects.get(event_type="power_on")
    assert started.subnet == "subnet-0ed352584ab4aa265"
    assert MachineImage.objects.count() == 1
    assert not MachineImage.objects.filter(rhel_detected_by_tag=True).exists()
    hours = IngestHour.objects.values_list("files", "records", "relevant")
    assert [sum(column) for column in zip(*hours, strict=True)] == [30, 1581, 2]
