"""Tags of images that no instance uses any more are described after a loss, too (decision 46)."""

import pytest

from api.clouds.aws.describe import sync
from api.clouds.aws.describe.gaps import accounts_with_gaps, missing_images
from api.clouds.aws.describe.requests import DESCRIBE
from api.clouds.aws.describe.sync import describe_account, describe_missing
from api.models import CloudAccount, ImageTags, MachineImage, StaleUsage
from tests.api.clouds.aws.describe.scans import ec2
from tests.api.clouds.aws.testbed import at
from tests.factories import make_aws_image, make_tags
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched

LEFT_OUT = {"requestParameters": trail.OMITTED}


@pytest.fixture(autouse=True)
def regions(monkeypatch):
    monkeypatch.setattr(sync, "describe_regions", lambda arn: ["us-east-1"])


def lose_a_tag(testbed):
    """Have a tag taken off an image without a readable log; return the image and its AMI."""
    ami = testbed.image()
    ec2(testbed).create_tags(Resources=[ami], Tags=[{"Key": trail.RHEL_TAG, "Value": ""}])
    testbed.ingest(trail.run_instances(launched("i-1", image=ami), at=at(1)))
    testbed.ingest(trail.create_tags(ami, at=at(2)))
    assert MachineImage.objects.get().rhel_detected_by_tag
    ec2(testbed).delete_tags(Resources=[ami], Tags=[{"Key": trail.RHEL_TAG}])
    testbed.ingest(trail.delete_tags(ami, at=at(3)) | LEFT_OUT)
    return ami


@pytest.mark.parametrize("describe", [describe_account, describe_missing])
def test_a_description_tells_what_the_log_left_out(testbed, queued, describe):
    ami = lose_a_tag(testbed)
    account_id = testbed.account.id
    assert [task.args for task in queued.named(DESCRIBE)] == [(account_id,)]
    assert accounts_with_gaps() == [account_id]
    assert missing_images(account_id) == {"us-east-1": {ami}}
    StaleUsage.objects.all().delete()
    describe(account_id=account_id)
    assert not MachineImage.objects.get().rhel_detected_by_tag
    assert StaleUsage.objects.filter(user=testbed.account.user).exists()
    assert (accounts_with_gaps(), missing_images(account_id)) == ([], {})
    testbed.ingest(trail.create_tags(ami, at=at(2)))
    assert not MachineImage.objects.get().rhel_detected_by_tag


def test_a_launch_describes_the_image_again(testbed):
    ami = lose_a_tag(testbed)
    testbed.ingest(trail.run_instances(launched("i-2", image=ami), at=at(4)))
    assert not MachineImage.objects.get().rhel_detected_by_tag


def test_what_ec2_does_not_answer_is_asked_for_again(testbed):
    lose_a_tag(testbed)
    testbed.aws.refuse("ec2", "DescribeImages", "RequestLimitExceeded", times=1)
    describe_missing(account_id=testbed.account.id)
    assert accounts_with_gaps() == [testbed.account.id]
    describe_missing(account_id=testbed.account.id)
    assert accounts_with_gaps() == []
    assert not MachineImage.objects.get().rhel_detected_by_tag


def test_an_image_that_only_other_accounts_use_is_described_too(testbed):
    ami = testbed.image()
    image = make_aws_image(cloud_image_id=ami, region="us-east-1")
    make_tags(account=testbed.account, image=image, rhel_at=at(1), described_at=at(1))
    testbed.ingest(trail.delete_tags(ami, at=at(3)) | LEFT_OUT)
    assert accounts_with_gaps() == [testbed.account.id]
    describe_missing(account_id=testbed.account.id)
    assert accounts_with_gaps() == []
    assert not ImageTags.objects.get().rhel


@pytest.mark.parametrize("time", ["2150-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_change_of_the_future_is_described_now(testbed, time):
    """No answer would be later than it: new images of the account would never get their tags."""
    ami = testbed.image()
    ec2(testbed).create_tags(Resources=[ami], Tags=[{"Key": trail.RHEL_TAG, "Value": ""}])
    testbed.ingest(trail.delete_tags("ami-1", eventTime=time) | LEFT_OUT)
    testbed.ingest(trail.run_instances(launched("i-1", image=ami), at=at(4)))
    assert MachineImage.objects.get().rhel_detected_by_tag
    assert accounts_with_gaps() == []


def test_an_account_that_is_not_metered_loses_nothing(testbed):
    CloudAccount.objects.update(is_enabled=False)
    testbed.ingest(trail.delete_tags("ami-1", at=at(3)) | LEFT_OUT)
    assert CloudAccount.objects.get().tags_unread_until is None
