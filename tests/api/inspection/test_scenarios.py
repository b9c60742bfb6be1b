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
def image(scene):
    return scene.image()


@pytest.fixture
def snapshot(scene, image):
    described = scene.customers.describe_images(ImageIds=[image.cloud_image_id])["Images"][0]
    return described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


@pytest.fixture
def started(scene, image):
    scene.start(image)
    scene.queued.clear()
    return image


@pytest.fixture
def copied(scene, started):
    """Our copy of the image's disk, before its inspector is launched."""
    scene.run(names.COPY, scene.arn, started.cloud_image_id, REGION)
    scene.queued.clear()
    return attempts(started)[-1].snapshot_copy_id


def test_scenario_01_start(scene, image):
    scene.start(image)
    assert fresh(image).status == "preparing"
    assert len(attempts(image)) == 1
    assert scene.queued == [(names.COPY, (scene.arn, image.cloud_image_id, REGION), {}, None)]


@pytest.mark.parametrize(
    ("columns", "is_rhel"),
    [({"marketplace": True}, False), ({"name": ACCESS, "owner_aws_account_id": RED_HAT}, True)],
)
def test_scenario_02_nothing_to_look_for(scene, columns, is_rhel):
    image = scene.image("ami-1", **columns)
    scene.start(image)
    assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", is_rhel)
    assert len(attempts(image)) == 1
    assert scene.queued == []


def test_scenario_03_hourly_images(scene):
    bought = scene.image("ami-1", name="RHEL-8.6-Hourly2-GP2", owner_aws_account_id=RED_HAT)
    assert (bought.is_marketplace, bought.is_rhel) == (True, False)
    named_so = scene.image("ami-2", name="RHEL-8.6-Hourly2-GP2", owner_aws_account_id="1" * 12)
    assert (named_so.is_marketplace, named_so.is_cloud_access) == (False, False)
    scene.start(named_so)
    assert scene.queued.names == [names.COPY]


def test_scenario_04_the_customer_has_told(scene):
    image = scene.image("ami-1")
    make_tags(account=scene.account, image=image)
    scene.start(image)
    image = fresh(image)
    assert (image.status, image.is_rhel, image.rhel_version) == ("inspected", True, None)
    assert (attempts(image), scene.queued) == ([], [])


def test_scenario_05_six_attempts_are_enough(scene, image):
    for _ in range(6):
        InspectionAttempt.objects.create(machine_image=image)
    scene.start(image)
    assert fresh(image).status == "error"
    assert (len(attempts(image)), scene.queued) == (6, [])


def test_scenario_06_copy_of_an_own_snapshot(scene, started, snapshot):
    ami = started.cloud_image_id
    scene.run(names.COPY, scene.arn, ami, REGION)
    assert scene.shared_with(snapshot) == [PRIMARY_ACCOUNT_ID]
    (copied,) = scene.own_snapshots()
    copy_id = copied["SnapshotId"]
    assert not copied["Encrypted"]
    assert scene.queued == [
        (names.REMOVE, (scene.arn, snapshot, REGION, copy_id), {}, None),
        (names.LAUNCH, (ami, copy_id), {}, None),
        (names.DELETE, (copy_id, ami, REGION), {}, 3600),
    ]


def test_scenario_07_encrypted(scene):
    ami, snapshot = scene.register(encrypted=True)
    image = scene.image(ami)
    scene.start(image)
    scene.queued.clear()
    scene.run(names.COPY, scene.arn, ami, REGION)
    assert (fresh(image).status, fresh(image).is_encrypted) == ("error", True)
    assert (scene.queued, scene.shared_with(snapshot)) == ([], [])
    assert "encrypted" in attempts(image)[0].error


def test_scenario_08_an_image_that_is_gone(scene):
    image = scene.image("ami-0123456789abcdef0")
    scene.run(names.COPY, scene.arn, image.cloud_image_id, REGION)
    assert fresh(image).status == "error"


def test_scenario_08_a_root_device_without_snapshot(scene, started, monkeypatch):
    monkeypatch.setattr(disk_copies, "root_snapshot_id", lambda image: None)
    scene.run(names.COPY, scene.arn, started.cloud_image_id, REGION)
    assert fresh(started).status == "error"


@pytest.mark.parametrize("share_disk", [True, False])
def test_scenario_09_a_snapshot_of_somebody_else(scene, share_disk):
    ami, _ = scene.foreign(share_disk=share_disk)
    image = scene.image(ami, owner_aws_account_id=names.OTHER)
    scene.start(image)
    scene.queued.clear()
    scene.run(names.COPY, scene.arn, ami, REGION)
    assert scene.queued == [(names.COPY_IMAGE, (scene.arn, ami, REGION), {}, None)]
    assert fresh(image).status == "preparing"


def test_scenario_10_a_copy_in_the_customers_account(scene):
    ami, _ = scene.foreign(share_disk=True)
    image = scene.image(ami, owner_aws_account_id=names.OTHER, name="theirs")
    scene.start(image)
    scene.queued.clear()
    scene.run(names.COPY_IMAGE, scene.arn, ami, REGION)
    (described,) = scene.customers.describe_images(Owners=["self"])["Images"]
    new_ami = described["ImageId"]
    name = described["Name"]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    original = scene.customers.describe_images(ImageIds=[ami])["Images"][0]["Name"]
    assert tags == {
        "Name": name,
        "cloudigrade original image id": ami,
        "cloudigrade original image name": original,
    }
    assert name == f"cloudigrade reference copy ({original})"
    assert scene.queued == [(names.COPY, (scene.arn, new_ami, REGION, ami), {}, None)]
    scene.queued.clear()
    scene.run(names.COPY, scene.arn, new_ami, REGION, ami)
    row = MachineImage.objects.get(cloud_image_id=new_ami)
    assert (row.reference_image, row.status, row.name) == (image, "pending", None)
    assert row.owner_aws_account_id == names.OTHER
    assert scene.queued.named(names.LAUNCH)[0].args[0] == ami
    assert scene.queued.named(names.DELETE)[0].args[1] == ami


def test_scenario_10_a_long_name_is_cut(scene):
    ami, _ = scene.foreign(share_disk=True)
    ec2 = scene.customers
    described = scene.customers.describe_images(ImageIds=[ami])["Images"][0] | {"Name": "x" * 128}
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
    scene, message, stop, public, status, marketplace
):
    ami, _ = scene.foreign(public=public, share_disk=True)
    image = scene.image(ami)
    scene.start(image)
    scene.queued.clear()
    scene.refuse("CopyImage", "InvalidRequest", message + stop)
    scene.run(names.COPY_IMAGE, scene.arn, ami, REGION)
    image = fresh(image)
    assert (image.status, image.marketplace) == (status, marketplace)
    assert image.is_marketplace == marketplace
    assert scene.queued == []


def test_scenario_11_another_refusal_fails_the_task(scene):
    ami, _ = scene.foreign(share_disk=True)
    image = scene.image(ami)
    scene.start(image)
    scene.refuse("CopyImage", "InvalidRequest", "no idea")
    with pytest.raises(AwsError, match=r"ClientError InvalidRequest.*no idea"):
        scene.run(names.COPY_IMAGE, scene.arn, ami, REGION)
    assert fresh(image).status == "preparing"
    assert "no idea" in attempts(image)[0].error


def test_scenario_13_too_many_copies(scene, started):
    scene.refuse("CopySnapshot", "ResourceLimitExceeded")
    with pytest.raises(NotReadyError):
        scene.run(names.COPY, scene.arn, started.cloud_image_id, REGION)
    assert scene.queued == []


def test_scenario_14_launch(requests, scene, started, copied, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(disk_copies, "load_snapshot", lambda ec2, snapshot_id: {"State": "pending"})
        with pytest.raises(NotReadyError):
            scene.run(names.LAUNCH, started.cloud_image_id, copied)
    assert fresh(started).status == "preparing"
    assert scene.calls("RunInstances") == []
    scene.run(names.LAUNCH, started.cloud_image_id, copied)
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
    (instance,) = scene.inspectors()
    script = scene.user_data(instance["InstanceId"])
    assert "cloudigrade/houndigrade:latest" in script
    assert "RESULTS_BUCKET_NAME=test-cloudigrade-inspections" in script
    assert f"-t {started.cloud_image_id} /dev/xvdbb" in script


def test_scenario_15_no_capacity(scene, started, copied):
    scene.refuse("RunInstances", "InsufficientInstanceCapacity")
    with pytest.raises(AwsError, match="InsufficientInstanceCapacity"):
        scene.run(names.LAUNCH, started.cloud_image_id, copied)
    assert fresh(started).status == "preparing"


def test_scenario_16_a_disk_of_the_marketplace(scene, started, copied):
    scene.refuse("RunInstances", "OptInRequired", "subscribe to this AWS Marketplace product first")
    scene.run(names.LAUNCH, started.cloud_image_id, copied)
    assert (fresh(started).status, fresh(started).is_marketplace) == ("inspected", True)


def test_scenario_16_another_opt_in_ends_quietly(scene, started, copied):
    scene.refuse("RunInstances", "OptInRequired", "sign up for EC2 first")
    assert scene.run(names.LAUNCH, started.cloud_image_id, copied) is None
    assert fresh(started).status == "preparing"
    assert "sign up" in attempts(started)[0].error


def test_scenario_17_a_result(scene, started):
    scene.deliver(result(started.cloud_image_id))
    assert scene.persist() == (1, 0)
    image = fresh(started)
    assert (image.status, image.is_rhel, image.rhel_version) == ("inspected", True, "8.4")
    assert image.role == image.syspurpose["role"] == "Red Hat Enterprise Linux Server"
    assert scene.left == 0
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


def test_scenario_18_rhel_found_decides_nothing(scene, started):
    scene.deliver(result(started.cloud_image_id, entry={"rhel_found": True}))
    assert scene.persist() == (1, 0)
    assert (fresh(started).status, fresh(started).is_rhel) == ("inspected", False)


def test_scenario_19_a_known_and_an_unknown_image(scene, started, caplog):
    scene.deliver(result(started.cloud_image_id, "ami-x"))
    assert scene.persist() == (1, 0)
    assert fresh(started).status == "inspected"
    assert "ami-x" in caplog.text


@pytest.mark.parametrize("content", [{"cloud": "aws"}, {"cloud": "gcp", "images": {}}])
def test_scenario_20_no_result_of_ours(scene, started, content):
    scene.deliver(content)
    assert scene.persist() == (0, 1)
    assert scene.left == 1
    assert fresh(started).status == "preparing"


def test_scenario_21_a_test_event(scene):
    scene.send('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}')
    assert scene.run(names.PERSIST) == [[], []]
    assert scene.left == 0


def test_scenario_22_an_image_with_errors(scene, started):
    entry = {key: False for key in RHEL_84 if key.endswith("_found")} | {"errors": ["no disk"]}
    scene.deliver(result(started.cloud_image_id, entry=entry))
    assert scene.persist() == (1, 0)
    assert (fresh(started).status, fresh(started).is_rhel) == ("inspected", False)


def test_scenario_23_clean_up_waits_for_the_inspector(scene, started, copied):
    ami = started.cloud_image_id
    scene.run(names.LAUNCH, ami, copied)
    scene.run(names.DELETE, copied, ami, REGION)
    assert len(scene.own_snapshots()) == 1
    assert scene.queued == [(names.DELETE, (copied, ami, REGION), {}, 1800)]


@pytest.mark.parametrize("status", ["inspected", "error", "unavailable", None])
def test_scenario_23_clean_up_of_what_is_over(scene, started, copied, status):
    if status:
        MachineImage.objects.filter(id=started.id).update(status=status)
    else:
        Instance.objects.all().delete()
        started.delete()
    for _ in range(2):
        scene.run(names.DELETE, copied, started.cloud_image_id, REGION)
    assert (scene.own_snapshots(), scene.queued) == ([], [])


def test_scenario_23_a_throttled_clean_up_comes_again(scene, started, copied):
    MachineImage.objects.filter(id=started.id).update(status="error")
    scene.refuse("DeleteSnapshot", "RequestLimitExceeded", times=1)
    scene.run(names.DELETE, copied, started.cloud_image_id, REGION)
    assert scene.queued[0].countdown == 1800
    scene.work(also_later=True)
    assert scene.own_snapshots() == []


def test_scenario_24_restart(scene, time_machine):
    time_machine.move_to(utc("2024-05-06T12:00:00"))
    day_ago = clock.now() - 24 * HOUR
    images = {
        status: scene.image(f"ami-{status}", status=status, updated_at=day_ago)
        for status in MachineImage.Status.values
    }
    for image in images.values():
        make_instance(account=scene.account, image=image)
    scene.image("ami-unused", used=False, updated_at=day_ago)
    scene.image("ami-young", updated_at=clock.now() - HOUR)
    off = make_aws_account(is_enabled=False)
    make_instance(account=off, image=scene.image("ami-off", used=False, updated_at=day_ago))
    paused = make_aws_account(platform_application_is_paused=True)
    make_instance(account=paused, image=scene.image("ami-paused", used=False, updated_at=day_ago))
    MachineImage.objects.exclude(cloud_image_id="ami-young").update(updated_at=day_ago)
    scene.run(names.RESTART)
    assert scene.queued == [
        (names.COPY, (scene.arn, f"ami-{status}", REGION), {}, None)
        for status in ("pending", "preparing", "inspecting")
    ]
    scene.queued.clear()
    scene.run(names.RESTART)
    assert scene.queued == []


def test_scenario_25_reinspect(scene, time_machine):
    time_machine.move_to(utc("2024-05-06T12:00:00"))
    image = scene.image("ami-1", status="inspected", rhel_detected_by_tag=False)
    for _ in range(7):
        InspectionAttempt.objects.create(machine_image=image)
    instance = Instance.objects.get(machine_image=image)
    make_run(instance=instance, start=utc("2024-05-01"), end=utc("2024-05-02"))
    reinspect_image(image_id=image.id)
    assert fresh(image).status == "pending"
    assert scene.queued == [(names.START, ([[scene.arn, "ami-1", REGION]],), {}, None)]
    assert not StaleUsage.objects.exists()
    time_machine.shift(HOUR / 2)
    scene.run(names.RESTART)
    assert scene.queued.names == [names.START]
    scene.run(names.START, *scene.queued[0].args)
    assert fresh(image).status == "preparing"
    assert not StaleUsage.objects.exists()
    scene.deliver(result("ami-1"))
    assert scene.persist() == (1, 0)
    assert StaleUsage.objects.get().first_day == utc("2024-05-01").date()


def test_scenario_25_an_image_that_no_metered_account_uses(scene):
    image = scene.image("ami-1", used=False, status="inspected")
    make_instance(account=make_aws_account(is_enabled=False), image=image)
    reinspect_image(image_id=image.id)
    assert (fresh(image).status, scene.queued) == ("pending", [])


@pytest.mark.parametrize("syspurpose", [{"role": None}, ["x"], "x", 7, {"role": {"a": 1}}])
def test_scenario_26_an_odd_syspurpose(scene, started, syspurpose):
    entry = RHEL_84 | {"syspurpose": syspurpose}
    scene.deliver(result(started.cloud_image_id, entry=entry))
    assert scene.persist() == (1, 0)
    image = fresh(started)
    assert (image.syspurpose, image.role, image.is_rhel) == (syspurpose, "", True)


def test_scenario_27_the_share_ends_although_the_copy_is_gone(scene, started, snapshot, copied):
    scene.own.delete_snapshot(SnapshotId=copied)
    scene.run(names.REMOVE, scene.arn, snapshot, REGION, copied)
    assert scene.shared_with(snapshot) == []
    assert attempts(started)[0].share_removed_at


def test_scenario_28_an_image_that_is_deleted_meanwhile(scene, started, copied):
    Instance.objects.all().delete()
    started.delete()
    scene.run(names.LAUNCH, started.cloud_image_id, copied)
    assert scene.calls("RunInstances") == []


def test_scenario_29_rubbish_before_a_result(scene, started):
    scene.send("zzz")
    scene.deliver(result(started.cloud_image_id))
    assert scene.persist() == (1, 1)
    assert fresh(started).status == "inspected"
    assert scene.left == 1


def test_the_whole_way(scene, snapshot, image):
    scene.start(image)
    scene.work()
    (inspector,) = scene.inspectors()
    assert fresh(image).status == "inspecting"
    assert scene.shared_with(snapshot) == []
    scene.deliver(result(image.cloud_image_id))
    assert scene.persist() == (1, 0)
    scene.own.terminate_instances(InstanceIds=[inspector["InstanceId"]])
    scene.work(also_later=True)
    assert fresh(image).is_rhel
    assert (scene.own_snapshots(), scene.inspectors()) == ([], [])
    (attempt,) = attempts(image)
    assert attempt.inspector_instance_id == inspector["InstanceId"]
    assert attempt.share_removed_at
    assert attempt.snapshot_deleted_at
    assert attempt.producer_version == "latest"


def test_other_regions_are_copied_to_ours(scene):
    ec2 = scene.aws.client("ec2", account_id=names.CUSTOMER, region="eu-west-1")
    volume = ec2.create_volume(Size=1, AvailabilityZone="eu-west-1a")["VolumeId"]
    disk = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ami = ec2.register_image(
        Name="far",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": disk}}],
    )["ImageId"]
    image = make_aws_image(cloud_image_id=ami, status="pending", region="eu-west-1")
    scene.run(names.START, [[scene.arn, ami, "eu-west-1"]])
    scene.work()
    assert fresh(image).status == "inspecting"
    assert len(scene.own_snapshots()) == 1
