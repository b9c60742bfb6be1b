"""Tasks that are cut off anywhere, delivered twice or late: nothing is doubled, nothing is left."""

from contextlib import contextmanager

import pytest

from api.clouds.aws import copy
from api.inspection import copying, launching, releasing
from api.models import InspectionAttempt, MachineImage
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.api.inspection import scene as names
from tests.api.inspection.scene import REGION, attempts, fresh, result


class KilledError(BaseException):
    """The worker is gone, without a chance to say anything."""


@contextmanager
def killed(monkeypatch, module, name, *, after):
    """Kill the worker before, or after, it calls a function; once."""
    original = getattr(module, name)

    def call(*args, **kwargs):
        if after:
            original(*args, **kwargs)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(module, name, call)
        with pytest.raises(KilledError):
            yield


OWN = [
    (names.COPY, copy, "load_image"),
    (names.COPY, copy, "share"),
    (names.COPY, copy, "find_or_copy_snapshot"),
    (names.COPY, copying, "_go_on"),
    (names.LAUNCH, copy, "is_copied"),
    (names.LAUNCH, launching, "find_or_launch"),
    (names.LAUNCH, launching, "_record"),
    (names.REMOVE, copy, "is_copied"),
    (names.REMOVE, copy, "unshare"),
]
FOREIGN = [
    (names.COPY_IMAGE, copy, "load_image"),
    (names.COPY_IMAGE, copy, "find_or_copy_image"),
    (names.COPY_IMAGE, copying, "record_copy"),
    (names.COPY, copying, "record_copy"),
    (names.COPY, copy, "share"),
    (names.COPY, copy, "find_or_copy_snapshot"),
]


def play(scene, monkeypatch, task_name, module, function, after):
    """Work on all that is queued, where one task is killed at one place and delivered again."""
    open_tasks = True
    while ready := [task for task in scene.queued if not task.countdown]:
        task = next((one for one in ready if one.name == task_name), ready[0])
        if task.name == task_name and open_tasks and reaches(scene, task, function):
            open_tasks = False
            with killed(monkeypatch, module, function, after=after):
                scene.run(task.name, *task.args)
        scene.queued._tasks.remove(task)
        scene.run(task.name, *task.args)
    assert not open_tasks


def reaches(scene, task, function):
    """Tell whether a task will come to a place: it is a copy of a foreign image that is shared."""
    if task.name != names.COPY or function == "load_image":
        return True
    image = MachineImage.objects.get(cloud_image_id=task.args[1])
    return image.owner_aws_account_id != names.OTHER or len(task.args) == 4


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


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("task_name", "module", "function"), OWN, ids=lambda one: getattr(one, "__name__", one)
)
def test_killed_while_it_inspects_an_own_image(
    scene, monkeypatch, task_name, module, function, after
):
    image = scene.image()
    scene.start(image)
    play(scene, monkeypatch, task_name, module, function, after)
    assert scene.calls("RunInstances") == ["RunInstances"]
    assert scene.calls("CopySnapshot") == ["CopySnapshot"]
    finish(scene, image)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("task_name", "module", "function"), FOREIGN, ids=lambda one: getattr(one, "__name__", one)
)
def test_killed_while_it_inspects_a_foreign_image(
    scene, monkeypatch, task_name, module, function, after
):
    image = scene.image(scene.foreign(share_disk=True)[0], owner_aws_account_id=names.OTHER)
    scene.start(image)
    play(scene, monkeypatch, task_name, module, function, after)
    assert scene.calls("RunInstances") == ["RunInstances"]
    assert scene.calls("CopyImage") == ["CopyImage"]
    assert scene.calls("CopySnapshot") == ["CopySnapshot"]
    finish(scene, image)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_while_it_deletes_the_copy(scene, monkeypatch, after):
    image = scene.image()
    scene.start(image)
    scene.work()
    MachineImage.objects.filter(id=image.id).update(status="error")
    (task,) = scene.queued.named(names.DELETE)
    with killed(monkeypatch, releasing, "discard_copy", after=after):
        scene.run(task.name, *task.args)
    scene.run(task.name, *task.args)
    assert scene.own_snapshots() == []
    assert attempts(image)[0].snapshot_deleted_at


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
    launch = launching.find_or_launch

    def launch_and_tell(**options):
        instance_id = launch(**options)
        scene.deliver(result(image.cloud_image_id))
        assert scene.persist() == (1, 0)
        return instance_id

    monkeypatch.setattr(launching, "find_or_launch", launch_and_tell)
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
    find_or_copy = copy.find_or_copy_snapshot

    def copy_after_another(**options):
        other = find_or_copy(**options)
        InspectionAttempt.objects.update(snapshot_copy_id=other)
        return scene.own.copy_snapshot(
            SourceRegion=REGION, SourceSnapshotId=options["snapshot_id"]
        )["SnapshotId"]

    monkeypatch.setattr(copy, "find_or_copy_snapshot", copy_after_another)
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
