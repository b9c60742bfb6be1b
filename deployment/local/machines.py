"""The machines that cloudigrade launches in the fake AWS, played by one thread.

They do what their user data says, with the real inspector on the real blocks of the disk that is
attached to them: deliver the result, and end.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
import threading
from email import message_from_bytes
from pathlib import Path
from typing import Any, Self

from botocore.exceptions import ClientError

from deployment.local.aws import REGION, AwsControl
from deployment.local.service import REPOSITORY

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_INSPECT = 300.0
_TARGET = re.compile(r"-t '?([\w-]+)'? (\S+)")
_BUCKET = re.compile(r"RESULTS_BUCKET_NAME=([\w.-]+)")


class Machines:
    """Does what the user data of running instances says."""

    def __init__(self, aws: AwsControl) -> None:
        self._aws = aws
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._play, name="machines", daemon=True)

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
        """Run the user data of all running machines once; return the AMIs that were inspected."""
        ec2 = self._aws.client("ec2")
        running = {"Name": "instance-state-name", "Values": ["running"]}
        inspected = []
        for reservation in ec2.describe_instances(Filters=[running])["Reservations"]:
            for instance in reservation["Instances"]:
                script = self._script(ec2, instance["InstanceId"])
                target, bucket = _TARGET.search(script), _BUCKET.search(script)
                if target and bucket:
                    ami_id, drive = target.groups()
                    self._inspect(ami_id, self._disk(ec2, instance, drive), bucket[1])
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

    def _disk(self, ec2: Any, instance: dict[str, Any], drive: str) -> str | None:
        """Return the snapshot that the machine's disk was made of."""
        for mapping in instance.get("BlockDeviceMappings", ()):
            if mapping["DeviceName"] == drive:
                volumes = ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])
                return str(volumes["Volumes"][0].get("SnapshotId") or "") or None
        return None

    def _inspect(self, ami_id: str, snapshot_id: str | None, bucket: str) -> None:
        """Run the inspector, as the container does, on a file with the disk's content."""
        with tempfile.TemporaryDirectory() as folder:
            drive = Path(folder, "disk")
            if snapshot_id:
                self._copy_disk(snapshot_id, drive)
            environment = {
                **os.environ,
                "RESULTS_BUCKET_NAME": bucket,
                "AWS_ENDPOINT_URL": self._aws.base_url,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_DEFAULT_REGION": REGION,
            }
            subprocess.run(
                [sys.executable, "-m", "api.inspector", "-c", "aws", "-t", ami_id, str(drive)],
                cwd=REPOSITORY,
                env=environment,
                check=True,
                timeout=_SECONDS_TO_INSPECT,
            )

    def _copy_disk(self, snapshot_id: str, drive: Path) -> None:
        ebs = self._aws.client("ebs")
        try:
            listed = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)
        except ClientError:
            # The snapshot is gone, and so is what would have been on the disk.
            return
        with drive.open("wb") as file:
            file.truncate(listed["VolumeSize"] * 1024**3)
            for block in listed["Blocks"]:
                answer = ebs.get_snapshot_block(
                    SnapshotId=snapshot_id,
                    BlockIndex=block["BlockIndex"],
                    BlockToken=block["BlockToken"],
                )
                file.seek(block["BlockIndex"] * listed["BlockSize"])
                file.write(answer["BlockData"].read())


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
