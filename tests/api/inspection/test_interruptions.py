"""Tasks that are delivered twice or late: nothing is doubled, nothing is left."""

from api.clouds.aws.inspection import disk_copies
from api.inspection.steps import launch
from api.models import InspectionAttempt, MachineImage
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, attempts, fresh, result


def finish(testbed, image):
    """Let the inspector tell its result and end; then all that is still queued is done."""
    (inspector,) = testbed.inspectors()
    testbed.deliver(result(image.cloud_image_id))
    assert testbed.persist() == (1, 0)
    testbed.own.terminate_instances(InstanceIds=[inspector["InstanceId"]])
    testbed.work(also_later=True)
    assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", True)
    assert (testbed.inspectors(), testbed.own_snapshots()) == ([], [])
    (attempt,) = attempts(image)
    assert attempt.share_removed_at
    assert testbed.shared_with(attempt.customer_snapshot_id) == []


def test_every_task_delivered_twice(testbed):
    image = testbed.image()
    for _ in range(2):
        testbed.start(image)
    while ready := [task for task in testbed.queued if not task.countdown]:
        testbed.queued._tasks.remove(ready[0])
        for _ in range(2):
            testbed.run(ready[0].name, *ready[0].args)
    assert testbed.calls("CopySnapshot") == ["CopySnapshot"]
    assert testbed.calls("RunInstances") == ["RunInstances"]
    testbed.start(image)
    finish(testbed, image)


def test_a_result_that_comes_before_its_launch_is_recorded(testbed, monkeypatch):
    image = testbed.image()
    testbed.start(image)
    find_or_launch = launch.find_or_launch

    def launch_and_tell(**options):
        instance_id = find_or_launch(**options)
        testbed.deliver(result(image.cloud_image_id))
        assert testbed.persist() == (1, 0)
        return instance_id

    monkeypatch.setattr(launch, "find_or_launch", launch_and_tell)
    testbed.work()
    assert fresh(image).status == "inspected"
    (attempt,) = attempts(image)
    assert (attempt.outcome, bool(attempt.inspector_instance_id)) == ("inspected", True)


def test_late_tasks_of_an_attempt_that_was_replaced(testbed):
    image = testbed.image()
    testbed.start(image)
    testbed.work()
    first = attempts(image)[0]
    InspectionAttempt.objects.filter(id=first.id).update(finished_at=first.updated_at)
    MachineImage.objects.filter(id=image.id).update(status="pending")
    testbed.start(image)
    testbed.run(names.LAUNCH, image.cloud_image_id, first.snapshot_copy_id)
    assert fresh(image).status == "preparing"
    assert testbed.calls("RunInstances") == ["RunInstances"]
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    assert attempts(image)[1].snapshot_copy_id != first.snapshot_copy_id


def test_two_workers_copy_at_once(testbed, monkeypatch):
    image = testbed.image()
    testbed.start(image)
    find_or_copy = disk_copies.find_or_copy_snapshot

    def copy_after_another(**options):
        other = find_or_copy(**options)
        InspectionAttempt.objects.update(snapshot_copy_id=other)
        return testbed.own.copy_snapshot(
            SourceRegion=REGION, SourceSnapshotId=options["snapshot_id"]
        )["SnapshotId"]

    monkeypatch.setattr(disk_copies, "find_or_copy_snapshot", copy_after_another)
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    (left,) = testbed.own_snapshots()
    assert attempts(image)[0].snapshot_copy_id == left["SnapshotId"]
    assert testbed.calls("DeleteSnapshot") == ["DeleteSnapshot"]


def test_a_finished_image_is_not_looked_into_any_more(testbed):
    image = testbed.image(status="inspected")
    snapshot = testbed.customers.describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["SnapshotId"]
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    testbed.run(names.COPY_IMAGE, testbed.arn, image.cloud_image_id, REGION)
    testbed.run(names.LAUNCH, image.cloud_image_id, "snap-1")
    assert (testbed.queued, attempts(image)) == ([], [])
    assert PRIMARY_ACCOUNT_ID not in testbed.shared_with(snapshot)


def test_unknown_images_cost_no_call_of_aws(testbed):
    before = len(testbed.aws.calls())
    testbed.run(names.COPY, testbed.arn, "ami-unknown", REGION)
    testbed.run(names.COPY_IMAGE, testbed.arn, "ami-unknown", REGION)
    testbed.run(names.LAUNCH, "ami-unknown", "snap-1")
    testbed.run(names.START, [[testbed.arn, "ami-unknown", REGION]])
    assert len(testbed.aws.calls()) == before
    assert testbed.queued == []


def test_a_copy_of_an_earlier_attempt_is_used_again(testbed):
    image = testbed.image(testbed.foreign(share_disk=True)[0])
    for _ in range(2):
        InspectionAttempt.objects.update(finished_at=image.created_at)
        testbed.start(image)
        testbed.work()
    assert testbed.calls("CopyImage") == ["CopyImage"]
    assert len(attempts(image)) == 2
    assert attempts(image)[0].copied_ami_id == attempts(image)[1].copied_ami_id
