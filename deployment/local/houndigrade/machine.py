"""The machines that cloudigrade launches in the fake AWS, played by one thread."""

import base64
import json
import re
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any, Self

from deployment.local.aws import AwsControl
from deployment.local.houndigrade.tree import inspect_image

_SECONDS_BETWEEN_LOOKS = 1.0
_TARGET = re.compile(r"-t '?([\w-]+)'? (\S+)")
_BUCKET = re.compile(r"RESULTS_BUCKET_NAME=([\w.-]+)")


class Machines:
    """Does what the user data of running instances says, with trees in place of disks.

    ``disks`` names the directory that stands for the root of an AMI; an AMI without one has an
    empty disk.
    """

    def __init__(self, aws: AwsControl, disks: Mapping[str, Path]) -> None:
        self._aws = aws
        self._disks = disks
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._play, name="houndigrade", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _play(self) -> None:
        while not self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
            self.look()

    def look(self) -> list[str]:
        """Run the user data of all running machines once; gives the AMIs that were inspected."""
        ec2 = self._aws.client("ec2")
        running = {"Name": "instance-state-name", "Values": ["running"]}
        inspected = []
        for reservation in ec2.describe_instances(Filters=[running])["Reservations"]:
            for instance in reservation["Instances"]:
                script = self._script(ec2, instance["InstanceId"])
                target, bucket = _TARGET.search(script), _BUCKET.search(script)
                if target and bucket:
                    ami_id, drive = target.groups()
                    self._inspect(ami_id, drive, bucket[1])
                    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
                    inspected.append(ami_id)
        return inspected

    @staticmethod
    def _script(ec2: Any, instance_id: str) -> str:
        answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        document = message_from_bytes(base64.b64decode(answer["UserData"].get("Value", "")))
        for part in document.walk():
            if part.get_content_type() == "text/x-shellscript":
                content = part.get_payload(decode=True)
                return content.decode() if isinstance(content, bytes) else ""
        return ""

    def _inspect(self, ami_id: str, drive: str, bucket: str) -> None:
        root = self._disks.get(ami_id, Path("/nonexistent"))
        result = {
            "cloud": "aws",
            "errors": [],
            "images": {ami_id: inspect_image(root, drive=drive)},
        }
        now = datetime.now(UTC)
        self._aws.client("s3").put_object(
            Bucket=bucket,
            Key=f"InspectionResults/{now:%Y-%m/%d/%H.%M.%S}-{uuid.uuid4()}.json",
            Body=json.dumps(result).encode(),
        )


def provide_launch_template(aws: AwsControl, environment_name: str) -> None:
    """Create the launch template of inspectors, as the infrastructure code does (spec 05 §4.7)."""
    ec2 = aws.client("ec2")
    image_id = ec2.register_image(
        Name="inspection-host",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}}],
    )["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName=f"cloudigrade-lt-{environment_name}",
        LaunchTemplateData={"ImageId": image_id, "InstanceType": "t2.micro"},
    )
