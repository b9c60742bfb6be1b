"""Inspection by instances, with the real inspector on real disks (spec 05 §4, 13 §4)."""

import json

import pytest

from api.clouds.aws.inspection.user_data import user_data
from deployment.local.blocks import store_disk
from deployment.local.machines import Machines, provide_launch_template
from tests.api.inspector import corpus

BUCKET = "test-cloudigrade-inspections"
LAUNCH = {"LaunchTemplate": {"LaunchTemplateName": "cloudigrade-lt-test"}}


@pytest.mark.parametrize("image", ["", "cloudservices/cloudigrade-inspector:1.0.0"])
def test_a_machine_delivers_what_its_user_data_asks_for(image, aws, settings):
    settings.AWS_INSPECTION_IMAGE = image
    aws.provision_primary_account("test")
    provide_launch_template(aws, "test")
    ec2 = aws.client("ec2")
    disk = store_disk(aws.client("ebs"), corpus.content("rhel8-gpt-xfs"))
    ec2.run_instances(
        MinCount=1,
        MaxCount=1,
        UserData=user_data("ami-0123"),
        BlockDeviceMappings=[{"DeviceName": "/dev/xvdbb", "Ebs": {"SnapshotId": disk}}],
        **LAUNCH,
    )
    ec2.run_instances(MinCount=1, MaxCount=1, **LAUNCH)
    machines = Machines(aws)
    assert machines.look() == ["ami-0123"]
    assert machines.look() == []
    s3 = aws.client("s3")
    (stored,) = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    body = s3.get_object(Bucket=BUCKET, Key=stored["Key"])["Body"].read()
    entry = json.loads(body)["images"]["ami-0123"]
    assert (entry["rhel_version"], entry["package_count"]) == ("8.4", 51)
