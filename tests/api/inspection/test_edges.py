"""What AWS may say on the way, beyond the scenarios (spec 05 §4, §10)."""

import pytest

from api.clouds.aws.errors import AwsError, NotReadyError
from api.clouds.aws.inspection import disk_copies
from api.models import SnapshotShare
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, attempts, fresh


@pytest.fixture
def copied(testbed, image):
    """Our copy of the image's disk; the customer's snapshot is still shared."""
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    testbed.queued.clear()
    return attempts(image)[0]


def end_share(testbed, attempt):
    snapshot = attempt.customer_snapshot_id
    testbed.run(names.REMOVE, testbed.arn, snapshot, REGION, attempt.snapshot_copy_id)


def test_an_image_that_is_still_made_is_waited_for(testbed, image, monkeypatch):
    described = testbed.customers.describe_images(ImageIds=[image.cloud_image_id])["Images"][0]

    def load(state):
        ec2 = type("Ec2", (), {"describe_images": lambda *_, **__: {"Images": [state]}})
        return disk_copies.load_image(ec2(), image.cloud_image_id)

    with pytest.raises(NotReadyError):
        load(described | {"State": "pending"})
    assert load(described | {"State": "failed"}) is None
    assert load(described) == described


def test_a_share_that_is_not_visible_yet_is_waited_for(testbed, image, monkeypatch):
    monkeypatch.setattr(disk_copies, "_permitted", lambda *_: set())
    with pytest.raises(NotReadyError):
        testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    assert (fresh(image).status, testbed.queued) == ("preparing", [])
    assert SnapshotShare.objects.count() == 1


def test_an_unexpected_error_fails_the_task_and_leaves_the_image(testbed, image):
    testbed.refuse("DescribeSnapshots", "Strange", "never heard of")
    with pytest.raises(AwsError, match=r"ClientError Strange.*never heard of"):
        testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    assert fresh(image).status == "preparing"
    (attempt,) = attempts(image)
    assert (attempt.outcome, "never heard of" in attempt.error) == ("stalled", True)


def test_a_foreign_image_that_can_not_be_loaded(testbed, image):
    testbed.customers.deregister_image(ImageId=image.cloud_image_id)
    testbed.run(names.COPY_IMAGE, testbed.arn, image.cloud_image_id, REGION)
    assert fresh(image).status == "error"


def test_a_foreign_image_that_vanishes_before_it_is_copied(testbed):
    ami, _ = testbed.foreign(share_disk=True)
    image = testbed.image(ami)
    testbed.start(image)
    testbed.refuse("CopyImage", "InvalidAMIID.NotFound")
    testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
    assert fresh(image).status == "error"


def test_a_share_that_is_still_visible_is_waited_for(testbed, copied, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(disk_copies, "_permitted", lambda *_: {PRIMARY_ACCOUNT_ID})
        with pytest.raises(NotReadyError):
            end_share(testbed, copied)
    assert SnapshotShare.objects.count() == 1
    end_share(testbed, copied)
    assert SnapshotShare.objects.count() == 0


def test_others_keep_their_right(testbed, copied):
    testbed.customers.modify_snapshot_attribute(
        SnapshotId=copied.customer_snapshot_id,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[names.OTHER],
    )
    for _ in range(2):
        end_share(testbed, copied)
        assert testbed.shared_with(copied.customer_snapshot_id) == [names.OTHER]


def test_a_share_that_can_not_be_ended_fails_the_task(testbed, copied):
    testbed.refuse("ModifySnapshotAttribute", "Strange", times=1)
    with pytest.raises(AwsError, match="Strange"):
        end_share(testbed, copied)
    assert SnapshotShare.objects.count() == 1


def test_the_share_of_a_snapshot_that_is_gone_has_ended(testbed, copied):
    testbed.refuse("ModifySnapshotAttribute", "InvalidSnapshot.NotFound", times=1)
    end_share(testbed, copied)
    assert SnapshotShare.objects.count() == 0


def test_a_copy_that_failed_is_not_launched_and_its_share_ends(testbed, image, copied, monkeypatch):
    monkeypatch.setattr(disk_copies, "load_snapshot", lambda *_: {"State": "error"})
    with pytest.raises(disk_copies.SnapshotFailedError):
        testbed.run(names.LAUNCH, image.cloud_image_id, copied.snapshot_copy_id)
    assert fresh(image).status == "preparing"
    assert "failed" in attempts(image)[0].error
    end_share(testbed, copied)
    assert testbed.shared_with(copied.customer_snapshot_id) == []


@pytest.mark.parametrize("code", ["InstanceLimitExceeded", "VcpuLimitExceeded"])
def test_a_quota_of_instances_is_waited_for(testbed, image, copied, code):
    testbed.refuse("RunInstances", code, times=1)
    with pytest.raises(NotReadyError):
        testbed.run(names.LAUNCH, image.cloud_image_id, copied.snapshot_copy_id)
    testbed.run(names.LAUNCH, image.cloud_image_id, copied.snapshot_copy_id)
    assert fresh(image).status == "inspecting"
