"""Tasks that are delivered twice or late: nothing is doubled, nothing is left."""

from api.clouds.aws.inspection import disk_copies
from api.inspection.steps import launch
from api.models import InspectionAttempt, MachineImage
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, attempts, fresh, result


def finish(scene, image):
    """Let the inspector tell its result and end; then all that is still queued is done."""
    (inspector,) = scene.inspectors()
    scene.deliver(result(image.cloud_image_id))
    assert scene.persist() == (1, 0)
    scene.own.terminate_instances(InstanceIds=[inspector["InstanceId"]])
    scene.work(also_later=True)
    assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", True)
    assert (scene.inspectors(), scene.own_snapshots()) == ([], [])
    (attempt,) = attempts(image)
    assert attempt.share_removed_at
    assert scene.shared_with(attempt.customer_snapshot_id) == []


def test_every_task_delivered_twice(scene):
    image = scene.image()
    for _ in range(2):
        scene.start(image)
    while ready := [task for task in scene.queued if not task.countdown]:
        scene.queued._tasks.remove(ready[0])
        for _ in range(2):
            scene.run(ready[0].name, *ready[0].args)
    assert scene.calls("CopySnapshot") == ["CopySnapshot"]
    assert scene.calls("RunInstances") == ["RunInstances"]
    scene.start(image)
    finish(scene, image)


def test_a_result_that_comes_before_its_launch_is_recorded(scene, monkeypatch):
    image = scene.image()
    scene.start(image)
    find_or_launch = launch.find_or_launch

    def launch_and_tell(**options):
        instance_id = find_or_launch(**options)
        scene.deliver(result(image.cloud_image_id))
        assert scene.persist() == (1, 0)
        return instance_id

    monkeypatch.setattr(launch, "find_or_launch", launch_and_tell)
    scene.work()
    assert fresh(image).status == "inspected"
    (attempt,) = attempts(image)
    assert (attempt.outcome, bool(attempt.inspector_instance_id)) == ("inspected", True)


def test_late_tasks_of_an_attempt_that_was_replaced(scene):
    image = scene.image()
    scene.start(image)
    scene.work()
    first = attempts(image)[0]
    InspectionAttempt.objects.filter(id=first.id).update(finished_at=first.updated_at)
    MachineImage.objects.filter(id=image.id).update(status="pending")
    scene.start(image)
    scene.run(names.LAUNCH, image.cloud_image_id, first.snapshot_copy_id)
    assert fresh(image).status == "preparing"
    assert scene.calls("RunInstances") == ["RunInstances"]
    scene.run(names.COPY, scene.arn, image.cloud_image_id, REGION)
    assert attempts(image)[1].snapshot_copy_id != first.snapshot_copy_id


def test_two_workers_copy_at_once(scene, monkeypatch):
    image = scene.image()
    scene.start(image)
    find_or_copy = disk_copies.find_or_copy_snapshot

    def copy_after_another(**options):
        other = find_or_copy(**options)
        InspectionAttempt.objects.update(snapshot_copy_id=other)
        return scene.own.copy_snapshot(
            SourceRegion=REGION, SourceSnapshotId=options["snapshot_id"]
        )["SnapshotId"]

    monkeypatch.setattr(disk_copies, "find_or_copy_snapshot", copy_after_another)
    scene.run(names.COPY, scene.arn, image.cloud_image_id, REGION)
    (left,) = scene.own_snapshots()
    assert attempts(image)[0].snapshot_copy_id == left["SnapshotId"]
    assert scene.calls("DeleteSnapshot") == ["DeleteSnapshot"]


def test_a_finished_image_is_not_looked_into_any_more(scene):
    image = scene.image(status="inspected")
    snapshot = scene.customers.describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["SnapshotId"]
    scene.run(names.COPY, scene.arn, image.cloud_image_id, REGION)
    scene.run(names.COPY_IMAGE, scene.arn, image.cloud_image_id, REGION)
    scene.run(names.LAUNCH, image.cloud_image_id, "snap-1")
    assert (scene.queued, attempts(image)) == ([], [])
    assert PRIMARY_ACCOUNT_ID not in scene.shared_with(snapshot)


def test_unknown_images_cost_no_call_of_aws(scene):
    before = len(scene.aws.calls())
    scene.run(names.COPY, scene.arn, "ami-unknown", REGION)
    scene.run(names.COPY_IMAGE, scene.arn, "ami-unknown", REGION)
    scene.run(names.LAUNCH, "ami-unknown", "snap-1")
    scene.run(names.START, [[scene.arn, "ami-unknown", REGION]])
    assert len(scene.aws.calls()) == before
    assert scene.queued == []


def test_a_copy_of_an_earlier_attempt_is_used_again(scene):
    image = scene.image(scene.foreign(share_disk=True)[0])
    for _ in range(2):
        InspectionAttempt.objects.update(finished_at=image.created_at)
        scene.start(image)
        scene.work()
    assert scene.calls("CopyImage") == ["CopyImage"]
    assert len(attempts(image)) == 2
    assert attempts(image)[0].copied_ami_id == attempts(image)[1].copied_ami_id
