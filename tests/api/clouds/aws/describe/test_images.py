"""What descriptions of accounts find out about their images (spec 04 §7; decisions 34 and 47)."""

import pytest

from api.models import DescribeRun, Instance, MachineImage
from tests.api.clouds.aws.describe.scans import INSPECT, describe, ec2, later
from tests.api.clouds.aws.testbed import at, events
from tests.factories import make_aws_image, make_event, make_instance

pytestmark = pytest.mark.usefixtures("database_clock", "regions")


class TestImages:
    def image(self, ami):
        return MachineImage.objects.get(cloud_image_id=ami)

    def test_that_aws_does_not_return(self, testbed, queued):
        ami = testbed.image()
        testbed.instance(ami)
        ec2(testbed).deregister_image(ImageId=ami)
        describe(testbed)
        stub = self.image(ami)
        assert (stub.status, stub.region, stub.name) == ("unavailable", "us-east-1", None)
        assert INSPECT not in queued.names

    def test_windows_is_told_by_the_instance(self, testbed, queued):
        ami = testbed.image("Windows")
        testbed.instance(ami)
        describe(testbed)
        assert (self.image(ami).platform, self.image(ami).status) == ("windows", "inspected")
        assert INSPECT not in queued.names

    def test_from_the_marketplace_are_started_all_the_same(self, testbed, queued):
        ami = testbed.image()
        ec2(testbed).modify_image_attribute(ImageId=ami, ProductCodes=["abc"])
        testbed.instance(ami)
        describe(testbed)
        assert (self.image(ami).status, self.image(ami).marketplace) == ("inspected", True)
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    def test_tags_count(self, testbed):
        ami = testbed.image()
        ec2(testbed).create_tags(
            Resources=[ami], Tags=[{"Key": "cloudigrade-ocp-present", "Value": "x"}]
        )
        testbed.instance(ami)
        describe(testbed)
        assert self.image(ami).openshift_detected

    def test_known_ones_are_described_once_for_the_sake_of_tags(self, testbed, queued):
        """Each account sees tags of its own (README decision 34)."""
        ami = testbed.image()
        known = make_aws_image(cloud_image_id=ami, name="as it was", architecture="arm64")
        testbed.instance(ami)
        describe(testbed)
        assert testbed.asked("DescribeImages") == ["DescribeImages"]
        describe(testbed)
        assert testbed.asked("DescribeImages") == ["DescribeImages"]
        assert INSPECT not in queued.names
        known.refresh_from_db()
        assert (known.name, known.architecture) == ("as it was", "arm64")

    def test_that_were_not_shown_before_are_filled_in(self, testbed, queued):
        ami = testbed.image()
        make_aws_image(cloud_image_id=ami, status="unavailable", name=None)
        testbed.instance(ami)
        describe(testbed)
        assert (self.image(ami).status, self.image(ami).name is None) == ("pending", False)
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "UnauthorizedOperation", "Weird"])
    def test_that_are_not_described_keep_nothing_else_from_being_stored(
        self, testbed, queued, code
    ):
        """Decision 47: they are stored as unavailable, and filled in when AWS answers."""
        ami = testbed.image()
        instance_id = testbed.instance(ami)
        known = make_instance(account=testbed.account, region="eu-west-1")
        make_event(instance=known, occurred_at=at(1))
        testbed.aws.refuse("ec2", "DescribeImages", code, times=1)
        describe(testbed)
        assert [event[1] for event in events()] == ["power_on", "power_off", "power_on"]
        assert self.image(ami).status == "unavailable"
        assert Instance.objects.get(cloud_instance_id=instance_id).machine_image == self.image(ami)
        assert set(DescribeRun.objects.values_list("outcome", flat=True)) == {"ok"}
        with later(hours=6):
            describe(testbed)
        assert self.image(ami).status == "pending"
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    def test_that_are_disabled_or_deprecated_are_asked_for(self, testbed, requests):
        """Fault 28: instances of a disabled AMI go on running."""
        testbed.instance(testbed.image())
        describe(testbed)
        (asked,) = [one for one in requests if one.action == "DescribeImages"]
        assert asked.parameters["IncludeDisabled"] is asked.parameters["IncludeDeprecated"] is True
