"""Inspection without an instance (spec 13 §4; acceptance 11 to 14)."""

import json
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from api.clouds.aws.errors import NotReadyError
from api.clouds.provider import TransientCloudError
from api.inspection import cleanup
from api.inspection.steps import direct
from api.inspector import ebs, isolation
from api.inspector.errors import UnreadableError
from api.inspector.isolation import NotStartedError
from api.metering.recalculate import recalculate_stale_usage
from api.models import ConcurrentUsage, InspectionAttempt, Instance, OutboxEntry, StaleUsage, User
from deployment.local.blocks import store_disk
from tests.api.inspection.fault_injection import killed
from tests.api.inspection.testbed import AWS_TASKS, COPY, CUSTOMER, DELETE, LAUNCH, attempts, fresh
from tests.api.inspector import corpus
from tests.factories import make_run
from util import clock

INSPECT = f"{AWS_TASKS}inspect_snapshot"
DISK = "rhel9-gpt-xfs"


@pytest.fixture(autouse=True)
def _direct(settings, monkeypatch):
    settings.AWS_INSPECTION_METHOD = "direct"
    monkeypatch.setattr(ebs, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def disk_image(testbed):
    """Store a pending image whose root disk is one of the corpus."""

    def make(name=DISK):
        snapshot = store_disk(testbed.aws.client("ebs", account_id=CUSTOMER), corpus.content(name))
        ami = testbed.customers.register_image(
            Name=f"image of {name}",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}],
        )["ImageId"]
        return testbed.image(ami)

    return make


@pytest.fixture
def image(testbed, disk_image):
    """An image whose disk was copied, and whose inspection waits."""
    image = disk_image()
    testbed.start(image)
    run_next(testbed, COPY)
    return image


def run_next(testbed, name):
    """Run the only queued task of a name."""
    (task,) = testbed.queued.named(name)
    testbed.queued._tasks.remove(task)
    return testbed.run(name, *task.args, **task.kwargs)


def count(outcome):
    return (
        REGISTRY.get_sample_value(
            "cloudigrade_inspections_total", {"method": "direct", "outcome": outcome}
        )
        or 0
    )


def test_acceptance_11_end_to_end(testbed, disk_image):
    image = disk_image()
    blocks = REGISTRY.get_sample_value("cloudigrade_inspection_blocks_read_total") or 0
    before = count("inspected")
    testbed.start(image)
    done = testbed.work()
    assert INSPECT in done
    assert LAUNCH not in done
    image = fresh(image)
    assert (image.status, image.is_rhel, image.rhel_version) == ("inspected", True, "9.2")
    assert testbed.calls("RunInstances") == []
    assert testbed.own_snapshots() == []
    (attempt,) = attempts(image)
    assert (attempt.outcome, attempt.error) == ("inspected", "")
    assert attempt.producer_name == "cloudigrade-inspector"
    assert attempt.snapshot_deleted_at is not None
    assert attempt.share_removed_at is not None
    asked = [call["action"] for call in testbed.aws.calls() if call["service"] == "ebs"]
    reads = asked.count("GetSnapshotBlock")
    assert 0 < reads < 40
    assert REGISTRY.get_sample_value("cloudigrade_inspection_blocks_read_total") == blocks + reads
    assert count("inspected") == before + 1
    entry = json.loads(image.inspection_json)
    assert (entry["package_count"], entry["architecture_found"]) == (66, "x86_64")
    assert list(entry["drives"]["/dev/xvdbb"]) == ["/dev/xvdbb1", "/dev/xvdbb2"]


def test_by_default_an_instance_looks(testbed, disk_image, settings):
    settings.AWS_INSPECTION_METHOD = "instance"
    image = disk_image()
    testbed.start(image)
    done = testbed.work()
    assert LAUNCH in done
    assert INSPECT not in done
    assert [call for call in testbed.aws.calls() if call["action"] == "GetSnapshotBlock"] == []


def test_the_status_goes_from_preparing_to_inspecting_to_inspected(testbed, image, monkeypatch):
    seen = [fresh(image).status]
    look = direct.inspect_isolated

    def looking(*arguments):
        seen.append(fresh(image).status)
        return look(*arguments)

    monkeypatch.setattr(direct, "inspect_isolated", looking)
    run_next(testbed, INSPECT)
    assert [*seen, fresh(image).status] == ["preparing", "inspecting", "inspected"]


def test_a_copy_that_is_not_complete_is_waited_for(testbed, image):
    (copied,) = testbed.own_snapshots()
    testbed.refuse("DescribeSnapshots", "RequestLimitExceeded", times=10)
    with pytest.raises(TransientCloudError):
        run_next(testbed, INSPECT)
    testbed.aws.call("POST", "/_control/reset")
    assert fresh(image).status == "preparing"
    direct.inspect_snapshot(ami_id=image.cloud_image_id, snapshot_copy_id=copied["SnapshotId"])
    assert fresh(image).status == "inspected"


def test_a_pending_copy_is_not_read(testbed, image, monkeypatch):
    def not_yet(snapshot_id):
        raise NotReadyError(f"snapshot copy {snapshot_id} is pending")

    monkeypatch.setattr(direct.disk_copies, "is_copied", not_yet)
    with pytest.raises(NotReadyError):
        run_next(testbed, INSPECT)
    assert fresh(image).status == "preparing"
    assert "is pending" in attempts(image)[0].error


def test_acceptance_11_past_days_are_recalculated(testbed, image):
    """A customer's past days count the machine, since its image turns out to be RHEL."""
    instance = Instance.objects.get(machine_image=image)
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    make_run(instance=instance, start=today - timedelta(days=3), end=today - timedelta(hours=25))
    User.objects.update(date_joined=today - timedelta(days=5))
    run_next(testbed, INSPECT)
    (mark,) = StaleUsage.objects.all()
    assert mark.first_day == (today - timedelta(days=3)).date()
    recalculate_stale_usage()
    counted = [
        usage.date
        for usage in ConcurrentUsage.objects.order_by("date")
        if any(row[-1] for row in usage.maximum_counts)
    ]
    assert counted == [mark.first_day, mark.first_day + timedelta(days=1)]


def test_acceptance_12_a_block_that_stays_wrong_is_an_error_that_operators_see(testbed, image):
    (copied,) = testbed.own_snapshots()
    for block in range(1, 60):
        testbed.aws.corrupt_block(copied["SnapshotId"], block)
    run_next(testbed, INSPECT)
    image = fresh(image)
    assert (image.status, image.is_rhel) == ("inspected", False)
    (attempt,) = attempts(image)
    assert attempt.outcome == "inconclusive"
    assert "has a wrong checksum" in attempt.error
    assert json.loads(image.inspection_json)["inconclusive"] is True
    testbed.work()
    assert testbed.own_snapshots() == []


def test_acceptance_12_a_wrong_checksum_is_asked_for_again(testbed, image):
    (copied,) = testbed.own_snapshots()
    testbed.aws.corrupt_block(copied["SnapshotId"], 0, times=2)
    run_next(testbed, INSPECT)
    assert fresh(image).is_rhel


def test_acceptance_12_throttled_three_times_it_succeeds(testbed, image):
    testbed.aws.refuse("ebs", "GetSnapshotBlock", "ThrottlingException", times=3)
    run_next(testbed, INSPECT)
    assert fresh(image).is_rhel


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        (direct, "_begin", True),
        (direct, "inspect_isolated", True),
        (isolation._Inspection, "_read", False),
        (isolation._Inspection, "_begin", True),
        (direct, "save_results", True),
        (direct, "delete_at_once", True),
        (direct, "_save", True),
    ],
)
def test_acceptance_13_a_killed_worker(testbed, image, monkeypatch, module, name, after):
    (task,) = testbed.queued.named(INSPECT)
    with killed(monkeypatch, module, name, after=after):
        testbed.run(INSPECT, *task.args)
    # It was not acknowledged, and is delivered again, or twice.
    testbed.run(INSPECT, *task.args)
    testbed.run(INSPECT, *task.args)
    testbed.work()
    image = fresh(image)
    assert (image.status, image.is_rhel) == ("inspected", True)
    assert testbed.own_snapshots() == []
    (attempt,) = attempts(image)
    assert attempt.outcome == "inspected"
    assert attempt.result


def test_acceptance_13_the_outbox_entry_outlives_redis(testbed, image):
    """The queues are gone with all tasks: the sweep queues what is not done."""
    entry = OutboxEntry.objects.get(task=INSPECT)
    assert entry.done_at is None
    assert entry.args[0] == image.cloud_image_id
    testbed.queued.clear()
    testbed.run(INSPECT, *entry.args)
    cleanup = OutboxEntry.objects.get(task=DELETE)
    testbed.queued.clear()
    testbed.run(DELETE, *cleanup.args)
    assert testbed.own_snapshots() == []
    assert fresh(image).status == "inspected"


def test_acceptance_14_without_the_right_an_instance_looks(testbed, image, caplog):
    before = count("fallback")
    testbed.aws.refuse("ebs", "ListSnapshotBlocks", "AccessDeniedException")
    run_next(testbed, INSPECT)
    lines = [one for one in caplog.records if "is inspected by an instance" in one.getMessage()]
    assert len(lines) == 1
    assert image.cloud_image_id in lines[0].getMessage()
    assert count("fallback") == before + 1
    run_next(testbed, LAUNCH)
    assert len(testbed.inspectors()) == 1
    assert fresh(image).status == "inspecting"
    (copied,) = testbed.own_snapshots()
    # Should the task come again, the instance is left alone.
    direct.inspect_snapshot(ami_id=image.cloud_image_id, snapshot_copy_id=copied["SnapshotId"])
    assert testbed.queued.named(LAUNCH) == []


def test_acceptance_14_a_right_that_is_missing_in_mid_read(testbed, image):
    testbed.aws.refuse("ebs", "GetSnapshotBlock", "AccessDeniedException")
    run_next(testbed, INSPECT)
    run_next(testbed, LAUNCH)
    assert len(testbed.inspectors()) == 1
    assert fresh(image).status == "inspecting"


def test_a_worker_without_readers_falls_back(testbed, image, monkeypatch):
    monkeypatch.setattr(direct, "READERS", ("no_such_reader",))
    run_next(testbed, INSPECT)
    assert len(testbed.queued.named(LAUNCH)) == 1


def test_a_reader_that_does_not_start_is_no_result(testbed, image, monkeypatch):
    """Nothing that this image is not to blame for may make it "no RHEL"."""
    monkeypatch.setattr(isolation, "_CHILD", "no.such.module")
    with pytest.raises(NotStartedError):
        run_next(testbed, INSPECT)
    image = fresh(image)
    assert (image.status, image.inspection_json) == ("inspecting", None)
    (attempt,) = attempts(image)
    assert (attempt.outcome, attempt.finished_at) == ("stalled", None)


def test_an_outage_is_no_result(testbed, image):
    testbed.aws.refuse("ebs", "GetSnapshotBlock", "InternalServerException")
    with pytest.raises(TransientCloudError):
        run_next(testbed, INSPECT)
    assert fresh(image).inspection_json is None


def test_the_same_finding_twice_is_two_results(testbed, image):
    """A second inspection of an image that has not changed ends, too."""
    testbed.work()
    testbed.start(image)
    testbed.work()
    assert [one.outcome for one in attempts(image)] == ["inspected", "inspected"]
    assert testbed.own_snapshots() == []


def test_an_inspection_that_is_over_is_not_repeated(testbed, image):
    (task,) = testbed.queued.named(INSPECT)
    testbed.work()
    testbed.aws.call("POST", "/_control/reset")
    testbed.run(INSPECT, *task.args)
    assert testbed.aws.calls() == []


def test_an_image_that_is_gone(testbed, image):
    (task,) = testbed.queued.named(INSPECT)
    InspectionAttempt.objects.all().delete()
    image.instances.all().delete()
    image.delete()
    testbed.run(INSPECT, *task.args)
    assert testbed.aws.calls()
    # The copy carries our tags; the sweep finds it.
    testbed.work(also_later=True)
    assert testbed.own_snapshots() == []


def test_a_hostile_disk_costs_its_own_result_only(testbed, image, monkeypatch):
    def unreadable(*arguments):
        raise UnreadableError("this disk is hostile")

    monkeypatch.setattr(ebs.SnapshotSource, "read", unreadable)
    run_next(testbed, INSPECT)
    image = fresh(image)
    assert image.status == "inspected"
    assert "this disk is hostile" in attempts(image)[0].error


def test_nothing_is_left_over(testbed, disk_image):
    images = [disk_image(name) for name in ("rhel7-xfs", "centos7-mbr-xfs", "luks")]
    testbed.start(*images)
    testbed.work()
    assert [fresh(one).status for one in images] == ["inspected"] * 3
    assert [fresh(one).is_rhel for one in images] == [True, False, False]
    assert testbed.own_snapshots() == []
    assert list(cleanup.find_leftovers()) == []
