"""An AMI that two customers use: tags by logs and descriptions (README decisions 34, 52)."""

import pytest

from api.clouds.aws.describe.sync import describe_account
from api.models import ImageTags, MachineImage
from tests.api.clouds.aws.testbed import at, make_account
from tests.factories import make_aws_image, make_instance, make_tags
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import OPENSHIFT_TAG, RHEL_TAG, launched

OTHER = "210987654321"
INSPECT = "api.tasks.start_image_inspections"


@pytest.fixture
def other(testbed):
    return make_account(OTHER)


def tagged(ami, tag="rhel"):
    """Return the AWS accounts in which an image is tagged."""
    found = ImageTags.objects.filter(machine_image__cloud_image_id=ami, **{tag: True})
    return set(found.values_list("cloud_account__aws_account_id", flat=True))


def started(queued):
    return [tuple(image) for task in queued.named(INSPECT) for image in task.args[0]]


def test_logs_tag_for_their_own_account(testbed, other):
    ami = make_aws_image().cloud_image_id
    testbed.ingest(
        trail.create_tags(ami, at=at(1)),
        trail.create_tags(ami, at=at(2), tags=[trail.OPENSHIFT_TAG]),
        key=trail.log_key(account=testbed.account.aws_account_id, at=at(12), name="a"),
    )
    testbed.ingest(
        trail.delete_tags(ami, at=at(3), account=OTHER),
        key=trail.log_key(account=OTHER, at=at(12), name="b"),
    )
    assert tagged(ami) == {testbed.account.aws_account_id}
    assert tagged(ami, "openshift") == {testbed.account.aws_account_id}


def test_one_batch_with_logs_of_both(testbed, other):
    ami = make_aws_image().cloud_image_id
    mine = testbed.put(trail.create_tags(ami, at=at(1)), trail.delete_tags(ami, at=at(3)))
    theirs = testbed.put(
        trail.create_tags(ami, at=at(2), account=OTHER),
        key=trail.log_key(account=OTHER, at=at(12), name="b"),
    )
    testbed.announce(mine)
    testbed.announce(theirs)
    testbed.run()
    assert tagged(ami) == {OTHER}


def test_a_description_tells_of_the_describing_accounts_tags_only(testbed, other):
    ami = testbed.image()
    mine = testbed.aws.client("ec2", account_id=testbed.account.aws_account_id)
    mine.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"Group": "all"}]})
    mine.create_tags(Resources=[ami], Tags=[{"Key": RHEL_TAG, "Value": ""}])
    theirs = testbed.aws.client("ec2", account_id=OTHER)
    theirs.create_tags(Resources=[ami], Tags=[{"Key": OPENSHIFT_TAG, "Value": ""}])
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    testbed.ingest(
        trail.run_instances(launched("i-2", image=ami), account=OTHER),
        key=trail.log_key(account=OTHER, at=at(12), name="b"),
    )
    assert tagged(ami) == {testbed.account.aws_account_id}
    assert tagged(ami, "openshift") == {OTHER}
    assert MachineImage.objects.get().rhel_detected_by_tag


def test_an_account_is_asked_for_its_tags_when_it_first_uses_a_known_image(testbed):
    ami = testbed.image()
    known = make_aws_image(cloud_image_id=ami, inspection_json="{}")
    mine = testbed.aws.client("ec2", account_id=testbed.account.aws_account_id)
    mine.create_tags(Resources=[ami], Tags=[{"Key": RHEL_TAG, "Value": ""}])
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    assert tagged(ami) == {testbed.account.aws_account_id}
    testbed.ingest(trail.run_instances(launched("i-2", image=ami)))
    assert testbed.asked("DescribeImages") == ["DescribeImages"]
    known.refresh_from_db()
    assert known.inspection_json == "{}"


def test_a_known_image_that_aws_does_not_show_is_asked_for_once(testbed):
    make_aws_image(cloud_image_id="ami-0123456789abcdef0")
    for number in (1, 2):
        testbed.ingest(trail.run_instances(launched(f"i-{number}", image="ami-0123456789abcdef0")))
    assert testbed.asked("DescribeImages") == ["DescribeImages"]


def test_tags_that_cannot_be_asked_for_hold_up_no_log(testbed):
    ami = make_aws_image().cloud_image_id
    testbed.aws.refuse("ec2", "DescribeImages", "UnauthorizedOperation")
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    assert not ImageTags.objects.exists()


def test_tags_that_cannot_be_asked_for_fail_no_region(testbed):
    ami = testbed.image()
    make_aws_image(cloud_image_id=ami)
    testbed.instance(ami)
    testbed.aws.refuse("ec2", "DescribeImages", "UnauthorizedOperation")
    describe_account(account_id=testbed.account.id)
    assert MachineImage.objects.get(instances__cloud_account=testbed.account).cloud_image_id == ami


def test_an_image_that_a_tag_settled_is_inspected_for_the_next_customer(testbed, other, queued):
    ami = testbed.image()
    known = make_aws_image(cloud_image_id=ami, status="inspected")
    make_instance(account=other, image=known)
    make_tags(account=other, image=known)
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    known.refresh_from_db()
    assert known.status == "pending"
    assert started(queued) == [(testbed.account.account_arn, ami, "us-east-1")]


def test_the_same_by_a_description(testbed, other, queued):
    ami = testbed.image()
    known = make_aws_image(cloud_image_id=ami, status="inspected")
    make_tags(account=other, image=known)
    testbed.instance(ami)
    describe_account(account_id=testbed.account.id)
    known.refresh_from_db()
    assert known.status == "pending"
    assert started(queued) == [(testbed.account.account_arn, ami, "us-east-1")]


def test_the_same_customer_in_another_account_needs_no_inspection(testbed, queued):
    ami = testbed.image()
    known = make_aws_image(cloud_image_id=ami, status="inspected")
    second = make_account(OTHER)
    second.user = testbed.account.user
    second.save()
    make_tags(account=second, image=known)
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    known.refresh_from_db()
    assert (known.status, started(queued)) == ("inspected", [])


def test_a_tag_taken_off_sends_it_to_inspection_unless_others_keep_it(testbed, other, queued):
    known = make_aws_image(status="inspected")
    make_tags(account=testbed.account, image=known)
    make_tags(account=other, image=known)
    make_instance(account=other, image=known)
    testbed.ingest(trail.delete_tags(known.cloud_image_id))
    known.refresh_from_db()
    assert (known.status, started(queued)) == ("inspected", [])
    testbed.ingest(
        trail.delete_tags(known.cloud_image_id, account=OTHER),
        key=trail.log_key(account=OTHER, at=at(12), name="b"),
    )
    known.refresh_from_db()
    assert known.status == "pending"
    assert started(queued) == [(other.account_arn, known.cloud_image_id, "us-east-1")]


def test_an_image_that_becomes_known_has_its_tags(testbed, queued):
    """What was `unavailable` is filled in as a new image, tags and all (decisions 9, 34, 47)."""
    ami = testbed.image()
    stub = make_aws_image(
        cloud_image_id=ami, status="unavailable", name=None, owner_aws_account_id=None
    )
    testbed.ingest(trail.create_tags(ami, at=at(1)))
    stub.refresh_from_db()
    assert (stub.status, stub.is_rhel) == ("unavailable", True)
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    stub.refresh_from_db()
    assert (stub.status, stub.is_rhel, stub.name is None) == ("pending", True, False)
    assert started(queued) == [(testbed.account.account_arn, ami, "us-east-1")]
