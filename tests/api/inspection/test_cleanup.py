"""The periodic sweep, its dry run, and what operators see of inspections."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command

from api.inspection.cleanup import find_leftovers
from api.internal import gauges
from api.models import InspectionAttempt, Instance, MachineImage, SnapshotShare
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, attempts, fresh, result
from tests.factories import make_aws_image
from util import clock


@pytest.fixture
def later(time_machine):
    """Let three hours pass for us, though not for AWS."""

    def pass_time():
        time_machine.move_to(clock.now() + timedelta(hours=3))

    return pass_time


@pytest.fixture
def inspecting(testbed):
    """An image whose inspector runs; the customer's snapshot is still shared."""
    image = testbed.image()
    testbed.start(image)
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    (launch,) = testbed.queued.named(names.LAUNCH)
    testbed.run(launch.name, *launch.args)
    testbed.queued.clear()
    return image


def kinds():
    return sorted(leftover.kind for leftover in find_leftovers())


def output(*arguments, **options):
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def test_what_is_young_or_needed_is_no_leftover(testbed, inspecting, later):
    assert kinds() == []
    later()
    # The copy belongs to an inspection that goes on.
    assert kinds() == ["instance", "share"]


def test_all_that_was_left_is_removed(testbed, inspecting, later):
    testbed.deliver(result(inspecting.cloud_image_id))
    testbed.persist()
    volume = testbed.own.create_volume(
        Size=1,
        AvailabilityZone=f"{REGION}a",
        TagSpecifications=[
            {
                "ResourceType": "volume",
                "Tags": [{"Key": "cloudigrade-environment", "Value": "test"}],
            }
        ],
    )["VolumeId"]
    later()
    assert kinds() == ["instance", "share", "snapshot", "volume"]
    shown = output("cleanup_inspections", "--dry-run")
    assert (volume in shown, "4 leftovers, 0 removed." in shown) == (True, True)
    assert kinds() == ["instance", "share", "snapshot", "volume"]
    assert testbed.run(names.SWEEP) == 4
    assert kinds() == []
    assert (testbed.own_snapshots(), testbed.inspectors()) == ([], [])
    (attempt,) = attempts(inspecting)
    assert testbed.shared_with(attempt.customer_snapshot_id) == []
    assert attempt.share_removed_at
    assert attempt.snapshot_deleted_at
    assert "0 leftovers, 0 removed." in output("cleanup_inspections")


def test_what_belongs_to_images_that_are_gone_is_found_too(testbed, inspecting, later):
    Instance.objects.all().delete()
    inspecting.delete()
    later()
    assert kinds() == ["instance", "share", "snapshot"]
    output("cleanup_inspections")
    assert kinds() == []


def test_what_others_own_is_left_alone(testbed, later):
    image = testbed.own.describe_launch_template_versions(LaunchTemplateName=names.TEMPLATE)
    ami = image["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"]
    testbed.own.run_instances(ImageId=ami, MinCount=1, MaxCount=1)
    testbed.own.create_volume(Size=1, AvailabilityZone=f"{REGION}a")
    later()
    assert kinds() == []


def test_one_refusal_hinders_nothing_else(testbed, inspecting, later):
    testbed.deliver(result(inspecting.cloud_image_id))
    testbed.persist()
    later()
    testbed.refuse("DescribeVolumes", "UnauthorizedOperation")
    testbed.refuse("ModifySnapshotAttribute", "UnauthorizedOperation")
    assert testbed.run(names.SWEEP) == 2
    assert "Unauthorized" in SnapshotShare.objects.get().error


def test_a_lost_inspector_ends_the_attempt(testbed, inspecting, time_machine):
    (inspector,) = testbed.inspectors()
    time_machine.move_to(clock.now() + timedelta(minutes=30))
    testbed.run(names.SWEEP)
    assert attempts(inspecting)[0].finished_at is None
    testbed.own.terminate_instances(InstanceIds=[inspector["InstanceId"]])
    testbed.run(names.SWEEP)
    (attempt,) = attempts(inspecting)
    assert (attempt.outcome, fresh(inspecting).status) == ("lost", "inspecting")
    assert "without a result" in attempt.error


def test_operators_see_and_repeat(testbed, inspecting):
    failed = testbed.image("ami-failed", status="error")
    InspectionAttempt.objects.create(
        machine_image=failed, outcome="failed", error="snapshot is encrypted"
    )
    make_aws_image(cloud_image_id="ami-done", status="inspected")
    shown = output("inspections")
    assert inspecting.cloud_image_id in shown
    (line,) = (line for line in shown.splitlines() if "ami-failed" in line)
    assert line.split()[1] == "error"
    assert line.endswith("snapshot is encrypted")
    assert "ami-done" not in shown
    assert "0 pending, 0 preparing, 1 inspecting, 1 error." in shown
    assert "0 wait for their turn, 99 more may begin now." in shown
    assert "ami-done" in output("inspections", "--status", "inspected")
    assert "ami-done" in output("inspections", "ami-done")
    assert "1 images are inspected again." in output("inspections", "--retry")
    assert fresh(failed).status == "pending"
    assert testbed.queued == [(names.START, ([[testbed.arn, "ami-failed", REGION]],), {}, None)]


@pytest.mark.django_db
def test_operators_find_what_could_not_be_looked_into():
    for outcome in ("inspected", "inconclusive"):
        image = make_aws_image(cloud_image_id=f"ami-{outcome}", status="inspected")
        InspectionAttempt.objects.create(machine_image=image, outcome=outcome)
    shown = output("inspections", "--outcome", "inconclusive")
    assert "ami-inconclusive" in shown
    assert "ami-inspected" not in shown


@pytest.mark.django_db
def test_gauges_by_state_and_age(time_machine):
    time_machine.move_to("2024-05-06T12:00:00Z", tick=False)
    make_aws_image(cloud_image_id="ami-1", status="pending")
    time_machine.move_to("2024-05-06T12:01:00Z", tick=False)
    make_aws_image(cloud_image_id="ami-2", status="pending")
    count, oldest = gauges.inspections()
    samples = {sample.labels["status"]: sample.value for sample in count.samples}
    assert samples == {"pending": 2, "preparing": 0, "inspecting": 0, "error": 0}
    ages = {sample.labels["status"]: sample.value for sample in oldest.samples}
    assert (ages["pending"], ages["error"]) == (60, 0)


def resources(testbed):
    """Count what there is in both accounts; terminated instances are as good as gone."""
    counts = {}
    for name, ec2 in (("ours", testbed.own), ("customer's", testbed.customers)):
        snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        instances = [
            one
            for each in ec2.describe_instances()["Reservations"]
            for one in each["Instances"]
            if one["State"]["Name"] != "terminated"
        ]
        counts[name] = {
            "images": len(ec2.describe_images(Owners=["self"])["Images"]),
            "snapshots": len(snapshots),
            "volumes": len(ec2.describe_volumes()["Volumes"]),
            "instances": len(instances),
            "launch templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
        }
    touched = InspectionAttempt.objects.values_list("customer_snapshot_id", flat=True)
    counts["customer's"]["shares"] = sum(bool(testbed.shared_with(one)) for one in touched if one)
    return counts


def test_a_hundred_inspections_leave_nothing(testbed):
    images = [testbed.image() for _ in range(100)]
    before = resources(testbed)
    testbed.start(*images)
    assert [task.countdown for task in testbed.queued].count(None) == 20
    while copies := testbed.queued.named(names.COPY):
        for task in copies:
            testbed.queued._tasks.remove(task)
            testbed.run(task.name, *task.args)
    copied = resources(testbed)
    testbed.work()
    inspecting = resources(testbed)
    assert (copied["customer's"]["shares"], inspecting["customer's"]["shares"]) == (100, 0)
    assert inspecting["ours"]["instances"] == before["ours"]["instances"] + 100
    assert inspecting["ours"]["snapshots"] == before["ours"]["snapshots"] + 100
    testbed.deliver(result(*(image.cloud_image_id for image in images)))
    assert testbed.persist() == (1, 0)
    testbed.own.terminate_instances(
        InstanceIds=[inspector["InstanceId"] for inspector in testbed.inspectors()]
    )
    testbed.work(also_later=True)
    assert MachineImage.objects.filter(status="inspected", is_rhel=True).count() == 100
    after = resources(testbed)
    for name, counts in (
        ("before", before),
        ("copied", copied),
        ("inspecting", inspecting),
        ("after", after),
    ):
        print(f"\n{name:<12}{counts}", end="")
    assert after == before
    assert not SnapshotShare.objects.exists()
    assert not InspectionAttempt.objects.filter(share_removed_at__isnull=True).exists()
