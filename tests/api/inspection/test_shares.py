"""Our right to copy a customer's snapshot always ends, whoever is erased or killed meanwhile."""

from datetime import timedelta

import pytest
from django.db import transaction

from api.accounts.deletion import delete_account
from api.accounts.erasure import erase_instances
from api.accounts.states import OPERATOR
from api.clouds.aws.inspection import disk_copies
from api.inspection import attempts, shares
from api.inspection.cleanup import find_leftovers
from api.inspection.reinspection import reinspect_image
from api.inspection.steps import copy
from api.models import CloudAccount, InspectionAttempt, MachineImage, SnapshotShare
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.api.inspection import testbed as names
from tests.api.inspection.fault_injection import killed
from tests.api.inspection.testbed import REGION
from tests.api.inspection.testbed import attempts as attempts_at
from util import clock


@pytest.fixture
def snapshot(testbed, image):
    described = testbed.customers.describe_images(ImageIds=[image.cloud_image_id])["Images"][0]
    return described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


def erase(testbed):
    """Erase the customer with all instances and images."""
    with transaction.atomic():
        erase_instances(testbed.account)
        testbed.account.delete()
    assert not MachineImage.objects.filter(reference_image=None).exists()
    assert not InspectionAttempt.objects.exists()


def hours_pass(time_machine, hours=3):
    time_machine.move_to(clock.now() + timedelta(hours=hours))


def copy_disk(testbed, image):
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)


def nothing_is_left(testbed, snapshot):
    return (testbed.shared_with(snapshot), testbed.own_snapshots(), testbed.inspectors()) == (
        [],
        [],
        [],
    )


def test_the_row_lives_as_long_as_the_share(testbed, image, snapshot):
    copy_disk(testbed, image)
    (share,) = SnapshotShare.objects.all()
    assert (share.customer_snapshot_id, share.arn, share.region, share.ami_id) == (
        snapshot,
        testbed.arn,
        REGION,
        image.cloud_image_id,
    )
    assert testbed.shared_with(snapshot) == [PRIMARY_ACCOUNT_ID]
    (remove,) = testbed.queued.named(names.REMOVE)
    testbed.run(remove.name, *remove.args)
    assert (testbed.shared_with(snapshot), SnapshotShare.objects.count()) == ([], 0)
    assert attempts_at(image)[0].share_removed_at


def test_images_of_one_snapshot_end_its_share_together(testbed, image, snapshot):
    """Whoever ends while others still copy leaves it to them; nobody waits for the sweep."""
    other = testbed.image(
        testbed.customers.register_image(
            Name="of the same disk",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}],
        )["ImageId"]
    )
    testbed.start(other)
    copy_disk(testbed, image)
    # The other one has the share, and no copy yet.
    InspectionAttempt.objects.filter(machine_image=other).update(customer_snapshot_id=snapshot)
    (first,) = testbed.queued.named(names.REMOVE)
    testbed.run(first.name, *first.args)
    assert testbed.shared_with(snapshot) == [PRIMARY_ACCOUNT_ID]
    copy_disk(testbed, other)
    second = testbed.queued.named(names.REMOVE)[-1]
    testbed.run(second.name, *second.args)
    assert (testbed.shared_with(snapshot), SnapshotShare.objects.count()) == ([], 0)


def test_the_share_of_an_erased_customer_is_ended_by_its_task(testbed, image, snapshot):
    copy_disk(testbed, image)
    erase(testbed)
    testbed.work(also_later=True)
    assert SnapshotShare.objects.count() == 0
    assert nothing_is_left(testbed, snapshot)


def test_the_share_of_a_deleted_account_is_ended_by_the_sweep(
    testbed, image, snapshot, time_machine
):
    copy_disk(testbed, image)
    delete_account(account_id=testbed.account.id, trigger=OPERATOR)
    # The queues are lost too.
    testbed.queued.clear()
    assert not CloudAccount.objects.exists()
    assert testbed.shared_with(snapshot) == [PRIMARY_ACCOUNT_ID]
    hours_pass(time_machine)
    assert sorted(leftover.kind for leftover in find_leftovers()) == ["share", "snapshot"]
    assert testbed.run(names.SWEEP) == 2
    assert nothing_is_left(testbed, snapshot)
    assert SnapshotShare.objects.count() == 0


anywhere = pytest.mark.parametrize(
    ("module", "function", "after"),
    [
        pytest.param(module, function, after, id=f"{'after' if after else 'before'}-{function}")
        for module, function in (
            (disk_copies, "load_image"),
            (disk_copies, "share"),
            (disk_copies, "find_or_copy_snapshot"),
            (attempts, "claim_copy"),
            (copy, "_go_on"),
        )
        for after in (False, True)
    ],
)


@anywhere
def test_killed_and_erased_before_it_is_delivered_again(
    testbed, image, snapshot, monkeypatch, time_machine, module, function, after
):
    with killed(monkeypatch, module, function, after=after):
        copy_disk(testbed, image)
    erase(testbed)
    copy_disk(testbed, image)
    testbed.work()
    hours_pass(time_machine)
    testbed.run(names.SWEEP)
    assert nothing_is_left(testbed, snapshot)
    assert SnapshotShare.objects.count() == 0


@anywhere
def test_erased_while_the_disk_is_copied(
    testbed, image, snapshot, monkeypatch, time_machine, module, function, after
):
    original = getattr(module, function)

    def erase_too(*args, **kwargs):
        if not after:
            erase(testbed)
        made = original(*args, **kwargs)
        if after:
            erase(testbed)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(module, function, erase_too)
        copy_disk(testbed, image)
    testbed.work(also_later=True)
    hours_pass(time_machine)
    testbed.run(names.SWEEP)
    assert nothing_is_left(testbed, snapshot)
    assert SnapshotShare.objects.count() == 0


def test_a_share_that_can_not_be_ended_is_tried_again_later(testbed, image, snapshot, time_machine):
    copy_disk(testbed, image)
    erase(testbed)
    testbed.queued.clear()
    hours_pass(time_machine)
    testbed.refuse("ModifySnapshotAttribute", "UnauthorizedOperation", times=1)
    assert testbed.run(names.SWEEP) == 1
    assert "Unauthorized" in SnapshotShare.objects.get().error
    assert testbed.run(names.SWEEP) == 0
    hours_pass(time_machine)
    assert testbed.run(names.SWEEP) == 1
    assert (testbed.shared_with(snapshot), SnapshotShare.objects.count()) == ([], 0)


def test_a_late_end_takes_nothing_from_the_next_inspection(testbed, image, snapshot):
    copy_disk(testbed, image)
    (first_end,) = testbed.queued.named(names.REMOVE)
    reinspect_image(image_id=image.id)
    testbed.start(image)
    copies = disk_copies.find_or_copy_snapshot

    def end_first(**options):
        testbed.run(first_end.name, *first_end.args)
        assert testbed.shared_with(snapshot) == [PRIMARY_ACCOUNT_ID]
        return copies(**options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_copies, "find_or_copy_snapshot", end_first)
        copy_disk(testbed, image)
    second_end = testbed.queued.named(names.REMOVE)[-1]
    assert second_end != first_end
    testbed.run(second_end.name, *second_end.args)
    assert (testbed.shared_with(snapshot), SnapshotShare.objects.count()) == ([], 0)


def test_a_share_made_again_while_it_is_ended_is_not_forgotten(
    testbed, image, snapshot, monkeypatch
):
    copy_disk(testbed, image)
    unshare = disk_copies.unshare

    def share_again(ec2, snapshot_id, *, account_id):
        unshare(ec2, snapshot_id, account_id=account_id)
        shares.record(
            customer_snapshot_id=snapshot_id, region=REGION, arn=testbed.arn, ami_id="ami-2"
        )

    monkeypatch.setattr(disk_copies, "unshare", share_again)
    shares.end(customer_snapshot_id=snapshot, region=REGION, arn=testbed.arn)
    assert SnapshotShare.objects.get().ami_id == "ami-2"
    assert attempts_at(image)[0].share_removed_at is None
