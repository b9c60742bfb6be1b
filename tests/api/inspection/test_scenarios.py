"""The acceptance scenarios of spec 05 §13, against two accounts of the fake AWS."""

import datetime

import pytest

from api.clouds.aws.errors import AwsError, NotReadyError
from api.clouds.aws.inspection import disk_copies
from api.inspection.reinspection import reinspect_image
from api.models import InspectionAttempt, Instance, MachineImage, StaleUsage
from deployment.local.aws import PRIMARY_ACCOUNT_ID
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, RHEL_84, attempts, fresh, result
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_instance,
    make_run,
    make_tags,
    utc,
)
from util import clock

RED_HAT = "309956199498"
ACCESS = "RHEL-8.6.0_HVM-20220503-x86_64-2-Access2-GP2"
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def image(testbed):
    return testbed.image()


@pytest.fixture
def snapshot(testbed, image):
    described = testbed.customers.describe_images(ImageIds=[image.cloud_image_id])["Images"][0]
    return described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


@pytest.fixture
def started(testbed, image):
    testbed.start(image)
    testbed.queued.clear()
    return image


@pytest.fixture
def copied(testbed, started):
    """Our copy of the image's disk, before its inspector is launched."""
    testbed.run(names.COPY, testbed.arn, started.cloud_image_id, REGION)
    testbed.queued.clear()
    return attempts(started)[-1].snapshot_copy_id


def test_scenario_01_start(testbed, image):
    testbed.start(image)
    assert fresh(image).status == "preparing"
    assert len(attempts(image)) == 1
    assert testbed.queued == [(names.COPY, (testbed.arn, image.cloud_image_id, REGION), {}, None)]


@pytest.mark.parametrize(
    ("columns", "is_rhel"),
    [({"marketplace": True}, False), ({"name": ACCESS, "owner_aws_account_id": RED_HAT}, True)],
)
def test_scenario_02_nothing_to_look_for(testbed, columns, is_rhel):
    image = testbed.image("ami-1", **columns)
    testbed.start(image)
    assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", is_rhel)
    assert len(attempts(image)) == 1
    assert testbed.queued == []


def test_scenario_03_hourly_images(testbed):
    bought = testbed.image("ami-1", name="RHEL-8.6-Hourly2-GP2", owner_aws_account_id=RED_HAT)
    assert (bought.is_marketplace, bought.is_rhel) == (True, False)
    named_so = testbed.image("ami-2", name="RHEL-8.6-Hourly2-GP2", owner_aws_account_id="1" * 12)
    assert (named_so.is_marketplace, named_so.is_cloud_access) == (False, False)
    testbed.start(named_so)
    assert testbed.queued.names == [names.COPY]


def test_scenario_04_the_customer_has_told(testbed):
    image = testbed.image("ami-1")
    make_tags(account=testbed.account, image=image)
    testbed.start(image)
    image = fresh(image)
    assert (image.status, image.is_rhel, image.rhel_version) == ("inspected", True, None)
    assert (attempts(image), testbed.queued) == ([], [])


def test_scenario_05_six_attempts_are_enough(testbed, image):
    for _ in range(6):
        InspectionAttempt.objects.create(machine_image=image)
    testbed.start(image)
    assert fresh(image).status == "error"
    assert (len(attempts(image)), testbed.queued) == (6, [])


def test_scenario_06_copy_of_an_own_snapshot(testbed, started, snapshot):
    ami = started.cloud_image_id
    testbed.run(names.COPY, testbed.arn, ami, REGION)
    assert testbed.shared_with(snapshot) == [PRIMARY_ACCOUNT_ID]
    (copied,) = testbed.own_snapshots()
    copy_id = copied["SnapshotId"]
    assert not copied["Encrypted"]
    assert testbed.queued == [
        (names.REMOVE, (testbed.arn, snapshot, REGION, copy_id), {}, None),
        (names.LAUNCH, (ami, copy_id), {}, None),
        (names.DELETE, (copy_id, ami, REGION), {}, 3600),
    ]


def test_scenario_07_encrypted(testbed):
    ami, snapshot = testbed.register(encrypted=True)
    image = testbed.image(ami)
    testbed.start(image)
    testbed.queued.clear()
    testbed.run(names.COPY, testbed.arn, ami, REGION)
    assert (fresh(image).status, fresh(image).is_encrypted) == ("error", True)
    assert (testbed.queued, testbed.shared_with(snapshot)) == ([], [])
    assert "encrypted" in attempts(image)[0].error


def test_scenario_08_an_image_that_is_gone(testbed):
    image = testbed.image("ami-0123456789abcdef0")
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    assert fresh(image).status == "error"


def test_scenario_08_a_root_device_without_snapshot(testbed, started, monkeypatch):
    monkeypatch.setattr(disk_copies, "root_snapshot_id", lambda image: None)
    testbed.run(names.COPY, testbed.arn, started.cloud_image_id, REGION)
    assert fresh(started).status == "error"


@pytest.mark.parametrize("share_disk", [True, False])
def test_scenario_09_a_snapshot_of_somebody_else(testbed, share_disk):
    ami, _ = testbed.foreign(share_disk=share_disk)
    image = testbed.image(ami, owner_aws_account_id=names.OTHER)
    testbed.start(image)
    testbed.queued.clear()
    testbed.run(names.COPY, testbed.arn, ami, REGION)
    assert testbed.queued == [(names.COPY_IMAGE, (testbed.arn, ami, REGION), {}, None)]
    assert fresh(image).status == "preparing"


def test_scenario_10_a_copy_in_the_customers_account(testbed):
    ami, _ = testbed.foreign(share_disk=True)
    image = testbed.image(ami, owner_aws_account_id=names.OTHER, name="theirs")
    testbed.start(image)
    testbed.queued.clear()
    testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
    (described,) = testbed.customers.describe_images(Owners=["self"])["Images"]
    new_ami = described["ImageId"]
    name = described["Name"]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    original = testbed.customers.describe_images(ImageIds=[ami])["Images"][0]["Name"]
    assert tags == {
        "Name": name,
        "cloudigrade original image id": ami,
        "cloudigrade original image name": original,
    }
    assert name == f"cloudigrade reference copy ({original})"
    assert testbed.queued == [(names.COPY, (testbed.arn, new_ami, REGION, ami), {}, None)]
    testbed.queued.clear()
    testbed.run(names.COPY, testbed.arn, new_ami, REGION, ami)
    row = MachineImage.objects.get(cloud_image_id=new_ami)
    assert (row.reference_image, row.status, row.name) == (image, "pending", None)
    assert row.owner_aws_account_id == names.OTHER
    assert testbed.queued.named(names.LAUNCH)[0].args[0] == ami
    assert testbed.queued.named(names.DELETE)[0].args[1] == ami


def test_scenario_10_a_long_name_is_cut(testbed):
    ami, _ = testbed.foreign(share_disk=True)
    ec2 = testbed.customers
    described = testbed.customers.describe_images(ImageIds=[ami])["Images"][0] | {"Name": "x" * 128}
    made = disk_copies.find_or_copy_image(ec2, described, region=REGION, token="t")
    assert len(ec2.describe_images(ImageIds=[made])["Images"][0]["Name"]) == 128


SOLD = "Images from AWS Marketplace cannot be copied to another AWS account"
BILLED = "Images with EC2 BillingProduct codes cannot be copied to another AWS account"
CLOSED = "You do not have permission to access the storage of this ami"


@pytest.mark.parametrize("stop", ["", "."])
@pytest.mark.parametrize(
    ("message", "public", "status", "marketplace"),
    [
        (SOLD, True, "inspected", True),
        (SOLD, False, "inspected", True),
        (BILLED, True, "inspected", True),
        (CLOSED, True, "inspected", True),
        (CLOSED, False, "error", False),
    ],
)
def test_scenario_11_12_images_that_may_not_be_copied(
    testbed, message, stop, public, status, marketplace
):
    ami, _ = testbed.foreign(public=public, share_disk=True)
    image = testbed.image(ami)
    testbed.start(image)
    testbed.queued.clear()
    testbed.refuse("CopyImage", "InvalidRequest", message + stop)
    testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
    image = fresh(image)
    assert (image.status, image.marketplace) == (status, marketplace)
    assert image.is_marketplace == marketplace
    assert testbed.queued == []


def test_scenario_11_another_refusal_fails_the_task(testbed):
    ami, _ = testbed.foreign(share_disk=True)
    image = testbed.image(ami)
    testbed.start(image)
    testbed.refuse("CopyImage", "InvalidRequest", "no idea")
    with pytest.raises(AwsError, match=r"ClientError InvalidRequest.*no idea"):
        testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
    assert fresh(image).status == "preparing"
    assert "no idea" in attempts(image)[0].error


def test_scenario_13_too_many_copies(testbed, started):
    testbed.refuse("CopySnapshot", "ResourceLimitExceeded")
    with pytest.raises(NotReadyError):
        testbed.run(names.COPY, testbed.arn, started.cloud_image_id, REGION)
    assert testbed.queued == []


def test_scenario_14_launch(requests, testbed, started, copied, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(disk_copies, "load_snapshot", lambda ec2, snapshot_id: {"State": "pending"})
        with pytest.raises(NotReadyError):
            testbed.run(names.LAUNCH, started.cloud_image_id, copied)
    assert fresh(started).status == "preparing"
    assert testbed.calls("RunInstances") == []
    testbed.run(names.LAUNCH, started.cloud_image_id, copied)
    assert fresh(started).status == "inspecting"
    (request,) = (one for one in requests if one.action == "RunInstances")
    sent = request.parameters
    assert sent["LaunchTemplate"] == {"LaunchTemplateName": "cloudigrade-lt-test"}
    assert sent["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert sent["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvdbb",
            "Ebs": {
                "SnapshotId": copied,
                "VolumeType": "gp2",
                "Encrypted": False,
                "DeleteOnTermination": True,
            },
        }
    ]
    (instance,) = testbed.inspectors()
    script = testbed.user_data(instance["InstanceId"])
    assert "cloudigrade/houndigrade:latest" in script
    assert "RESULTS_BUCKET_NAME=test-cloudigrade-inspections" in script
    assert f"-t {started.cloud_image_id} /dev/xvdbb" in script


def test_scenario_15_no_capacity(testbed, started, copied):
    testbed.refuse("RunInstances", "InsufficientInstanceCapacity")
    with pytest.raises(AwsError, match="InsufficientInstanceCapacity"):
        testbed.run(names.LAUNCH, started.cloud_image_id, copied)
    assert fresh(started).status == "preparing"


def test_scenario_16_a_disk_of_the_marketplace(testbed, started, copied):
    testbed.refuse(
        "RunInstances", "OptInRequired", "subscribe to this AWS Marketplace product first"
    )
    testbed.run(names.LAUNCH, started.cloud_image_id, copied)
    assert (fresh(started).status, fresh(started).is_marketplace) == ("inspected", True)


def test_scenario_16_another_opt_in_ends_quietly(testbed, started, copied):
    testbed.refuse("RunInstances", "OptInRequired", "sign up for EC2 first")
    assert testbed.run(names.LAUNCH, started.cloud_image_id, copied) is None
    assert fresh(started).status == "preparing"
    assert "sign up" in attempts(started)[0].error


def test_scenario_17_a_result(testbed, started):
    testbed.deliver(result(started.cloud_image_id))
    assert testbed.persist() == (1, 0)
    image = fresh(started)
    assert (image.status, image.is_rhel, image.rhel_version) == ("inspected", True, "8.4")
    assert image.role == image.syspurpose["role"] == "Red Hat Enterprise Linux Server"
    assert testbed.left == 0
    (attempt,) = attempts(image)
    assert attempt.outcome == "inspected"
    (fact,) = image.facts.order_by("-id")[:1]
    assert (fact.reason, fact.is_rhel, fact.role) == ("inspection", True, image.role)
    assert fact.ref == f"attempt {attempt.id}"
    assert fact.evidence == {
        "rules": ["rhel_release_files", "rhel_signed_packages"],
        "paths": ["/etc/redhat-release"],
        "packages": 412,
    }


def test_scenario_18_rhel_found_decides_nothing(testbed, started):
    testbed.deliver(result(started.cloud_image_id, entry={"rhel_found": True}))
    assert testbed.persist() == (1, 0)
    assert (fresh(started).status, fresh(started).is_rhel) == ("inspected", False)


def test_scenario_19_a_known_and_an_unknown_image(testbed, started, caplog):
    testbed.deliver(result(started.cloud_image_id, "ami-x"))
    assert testbed.persist() == (1, 0)
    assert fresh(started).status == "inspected"
    assert "ami-x" in caplog.text


@pytest.mark.parametrize("content", [{"cloud": "aws"}, {"cloud": "gcp", "images": {}}])
def test_scenario_20_no_result_of_ours(testbed, started, content):
    testbed.deliver(content)
    assert testbed.persist() == (0, 1)
    assert testbed.left == 1
    assert fresh(started).status == "preparing"


def test_scenario_21_a_test_event(testbed):
    testbed.send('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}')
    assert testbed.run(names.PERSIST) == [[], []]
    assert testbed.left == 0


def test_scenario_22_an_image_with_errors(testbed, started):
    entry = {key: False for key in RHEL_84 if key.endswith("_found")} | {"errors": ["no disk"]}
    testbed.deliver(result(started.cloud_image_id, entry=entry))
    assert testbed.persist() == (1, 0)
    assert (fresh(started).status, fresh(started).is_rhel) == ("inspected", False)


def test_scenario_23_clean_up_waits_for_the_inspector(testbed, started, copied):
    ami = started.cloud_image_id
    testbed.run(names.LAUNCH, ami, copied)
    testbed.run(names.DELETE, copied, ami, REGION)
    assert len(testbed.own_snapshots()) == 1
    assert testbed.queued == [(names.DELETE, (copied, ami, REGION), {}, 1800)]


@pytest.mark.parametrize("status", ["inspected", "error", "unavailable", None])
def test_scenario_23_clean_up_of_what_is_over(testbed, started, copied, status):
    if status:
        MachineImage.objects.filter(id=started.id).update(status=status)
    else:
        Instance.objects.all().delete()
        started.delete()
    for _ in range(2):
        testbed.run(names.DELETE, copied, started.cloud_image_id, REGION)
    assert (testbed.own_snapshots(), testbed.queued) == ([], [])


def test_scenario_23_a_throttled_clean_up_comes_again(testbed, started, copied):
    MachineImage.objects.filter(id=started.id).update(status="error")
    testbed.refuse("DeleteSnapshot", "RequestLimitExceeded", times=1)
    testbed.run(names.DELETE, copied, started.cloud_image_id, REGION)
    assert testbed.queued[0].countdown == 1800
    testbed.work(also_later=True)
    assert testbed.own_snapshots() == []


def test_scenario_24_restart(testbed, time_machine):
    time_machine.move_to(utc("2024-05-06T12:00:00"))
    day_ago = clock.now() - 24 * HOUR
    images = {
        status: testbed.image(f"ami-{status}", status=status, updated_at=day_ago)
        for status in MachineImage.Status.values
    }
    for image in images.values():
        make_instance(account=testbed.account, image=image)
    testbed.image("ami-unused", used=False, updated_at=day_ago)
    testbed.image("ami-young", updated_at=clock.now() - HOUR)
    off = make_aws_account(is_enabled=False)
    make_instance(account=off, image=testbed.image("ami-off", used=False, updated_at=day_ago))
    paused = make_aws_account(platform_application_is_paused=True)
    make_instance(account=paused, image=testbed.image("ami-paused", used=False, updated_at=day_ago))
    MachineImage.objects.exclude(cloud_image_id="ami-young").update(updated_at=day_ago)
    testbed.run(names.RESTART)
    assert testbed.queued == [
        (names.COPY, (testbed.arn, f"ami-{status}", REGION), {}, None)
        for status in ("pending", "preparing", "inspecting")
    ]
    testbed.queued.clear()
    testbed.run(names.RESTART)
    assert testbed.queued == []


def test_scenario_25_reinspect(testbed, time_machine):
    time_machine.move_to(utc("2024-05-06T12:00:00"))
    image = testbed.image("ami-1", status="inspected", rhel_detected_by_tag=False)
    for _ in range(7):
        InspectionAttempt.objects.create(machine_image=image)
    instance = Instance.objects.get(machine_image=image)
    make_run(instance=instance, start=utc("2024-05-01"), end=utc("2024-05-02"))
    reinspect_image(image_id=image.id)
    assert fresh(image).status == "pending"
    assert testbed.queued == [(names.START, ([[testbed.arn, "ami-1", REGION]],), {}, None)]
    assert not StaleUsage.objects.exists()
    time_machine.shift(HOUR / 2)
    testbed.run(names.RESTART)
    assert testbed.queued.names == [names.START]
    testbed.run(names.START, *testbed.queued[0].args)
    assert fresh(image).status == "preparing"
    assert not StaleUsage.objects.exists()
    testbed.deliver(result("ami-1"))
    assert testbed.persist() == (1, 0)
    assert StaleUsage.objects.get().first_day == utc("2024-05-01").date()


def test_scenario_25_an_image_that_no_metered_account_uses(testbed):
    image = testbed.image("ami-1", used=False, status="inspected")
    make_instance(account=make_aws_account(is_enabled=False), image=image)
    reinspect_image(image_id=image.id)
    assert (fresh(image).status, testbed.queued) == ("pending", [])


@pytest.mark.parametrize("syspurpose", [{"role": None}, ["x"], "x", 7, {"role": {"a": 1}}])
def test_scenario_26_an_odd_syspurpose(testbed, started, syspurpose):
    entry = RHEL_84 | {"syspurpose": syspurpose}
    testbed.deliver(result(started.cloud_image_id, entry=entry))
    assert testbed.persist() == (1, 0)
    image = fresh(started)
    assert (image.syspurpose, image.role, image.is_rhel) == (syspurpose, "", True)


def test_scenario_27_the_share_ends_although_the_copy_is_gone(testbed, started, snapshot, copied):
    testbed.own.delete_snapshot(SnapshotId=copied)
    testbed.run(names.REMOVE, testbed.arn, snapshot, REGION, copied)
    assert testbed.shared_with(snapshot) == []
    assert attempts(started)[0].share_removed_at


def test_scenario_28_an_image_that_is_deleted_meanwhile(testbed, started, copied):
    Instance.objects.all().delete()
    started.delete()
    testbed.run(names.LAUNCH, started.cloud_image_id, copied)
    assert testbed.calls("RunInstances") == []


def test_scenario_29_rubbish_before_a_result(testbed, started):
    testbed.send("zzz")
    testbed.deliver(result(started.cloud_image_id))
    assert testbed.persist() == (1, 1)
    assert fresh(started).status == "inspected"
    assert testbed.left == 1


def test_the_whole_way(testbed, snapshot, image):
    testbed.start(image)
    testbed.work()
    (inspector,) = testbed.inspectors()
    assert fresh(image).status == "inspecting"
    assert testbed.shared_with(snapshot) == []
    testbed.deliver(result(image.cloud_image_id))
    assert testbed.persist() == (1, 0)
    testbed.own.terminate_instances(InstanceIds=[inspector["InstanceId"]])
    testbed.work(also_later=True)
    assert fresh(image).is_rhel
    assert (testbed.own_snapshots(), testbed.inspectors()) == ([], [])
    (attempt,) = attempts(image)
    assert attempt.inspector_instance_id == inspector["InstanceId"]
    assert attempt.share_removed_at
    assert attempt.snapshot_deleted_at
    assert attempt.producer_version == "latest"


def test_other_regions_are_copied_to_ours(testbed):
    ec2 = testbed.aws.client("ec2", account_id=names.CUSTOMER, region="eu-west-1")
    volume = ec2.create_volume(Size=1, AvailabilityZone="eu-west-1a")["VolumeId"]
    disk = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ami = ec2.register_image(
        Name="far",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": disk}}],
    )["ImageId"]
    image = make_aws_image(cloud_image_id=ami, status="pending", region="eu-west-1")
    testbed.run(names.START, [[testbed.arn, ami, "eu-west-1"]])
    testbed.work()
    assert fresh(image).status == "inspecting"
    assert len(testbed.own_snapshots()) == 1
