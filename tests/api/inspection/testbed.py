"""The stage of these tests: two AWS accounts, an image, and the tasks that work on it."""

import base64
import json
from email import message_from_string
from typing import Any

from celery import current_app

from api.models import InspectionAttempt, MachineImage
from deployment.local.aws import PRIMARY_ACCOUNT_ID, AwsControl, role_arn
from tests.api.clouds.aws.components import QueueStage
from tests.celery_fixtures import Queued
from tests.factories import make_aws_account, make_aws_image, make_instance, number

CUSTOMER = "111122223333"
OTHER = "444455556666"
REGION = "us-east-1"
BUCKET = "test-cloudigrade-inspections"
QUEUE = "test-cloudigrade-inspections-s3"
TEMPLATE = "cloudigrade-lt-test"

AWS_TASKS = "api.clouds.aws.tasks."
COPY = f"{AWS_TASKS}copy_ami_snapshot"
COPY_IMAGE = f"{AWS_TASKS}copy_ami_to_customer_account"
REMOVE = f"{AWS_TASKS}remove_snapshot_ownership"
LAUNCH = f"{AWS_TASKS}launch_inspection_instance"
DELETE = f"{AWS_TASKS}delete_snapshot"
START = "api.tasks.start_image_inspections"
RESTART = "api.tasks.inspect_pending_images"
PERSIST = "api.tasks.persist_inspection_cluster_results_task"
SWEEP = "api.tasks.sweep_inspections"

RHEL_84 = {
    "rhel_found": True,
    "rhel_release_files_found": True,
    "rhel_product_certs_found": False,
    "rhel_enabled_repos_found": False,
    "rhel_signed_packages_found": True,
    "rhel_version": "8.4",
    "errors": [],
    "syspurpose": {
        "role": "Red Hat Enterprise Linux Server",
        "service_level_agreement": "Premium",
        "usage": "Production",
    },
    "drives": {
        "/dev/xvdbb": {
            "/dev/xvdbb2": {
                "facts": {
                    "rhel_release_files": {
                        "rhel_found": True,
                        "release_files": [
                            {
                                "rhel_release_file": "/etc/redhat-release",
                                "rhel_release_file_contents": "Red Hat Enterprise Linux 8.4\n",
                                "rhel_found": True,
                            }
                        ],
                    },
                    "rhel_product_certs": {"rhel_found": False, "rhel_pem_files": []},
                    "rhel_signed_packages": {"rhel_found": True, "rhel_signed_package_count": 412},
                    "rhel_enabled_repos": {"rhel_found": False},
                    "os_version": "8.4",
                    "syspurpose_contents": "{}",
                }
            }
        }
    },
}
"""One image's part of a result file, as spec 05 §8 shows it."""


def result(*ami_ids: str, entry: Any = RHEL_84, **others: Any) -> dict[str, Any]:
    """Make a result file that says the same of each image."""
    return {"cloud": "aws", "errors": [], "images": dict.fromkeys(ami_ids, entry)} | others


class Testbed(QueueStage):
    """The fake AWS with a customer and us in it."""

    __test__ = False
    queue = QUEUE

    def __init__(self, aws: AwsControl, queued: Queued) -> None:
        self.aws = aws
        self.queued = queued
        current_app.loader.import_default_modules()
        self.arn = role_arn(CUSTOMER)
        self.account = make_aws_account(aws_account_id=CUSTOMER, account_arn=self.arn)
        self.own.create_launch_template(
            LaunchTemplateName=TEMPLATE,
            LaunchTemplateData={"ImageId": self.register(None)[0], "InstanceType": "t2.micro"},
        )

    @property
    def own(self) -> Any:
        """Our EC2."""
        return self.aws.client("ec2")

    @property
    def customers(self) -> Any:
        """The customer's EC2."""
        return self.aws.client("ec2", account_id=CUSTOMER)

    def register(self, account: str | None = CUSTOMER, *, encrypted: bool = False) -> tuple:
        """Register an AMI with a root disk; gives its id and its snapshot's."""
        ec2 = self.aws.client("ec2", account_id=account or PRIMARY_ACCOUNT_ID)
        volume = ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a", Encrypted=encrypted)
        snapshot = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
        ec2.delete_volume(VolumeId=volume["VolumeId"])
        ami = ec2.register_image(
            Name=f"image {number()}",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}],
        )["ImageId"]
        return ami, snapshot

    def image(self, ami_id: str | None = None, *, used: bool = True, **columns: Any) -> Any:
        """Store a pending image, by default one that AWS has and an instance uses."""
        defaults = {"cloud_image_id": ami_id or self.register()[0], "status": "pending"}
        image = make_aws_image(**(defaults | columns))
        if used:
            make_instance(account=self.account, image=image)
        return image

    def begun(self, ami_id: str) -> Any:
        """Store an image whose result is awaited."""
        image = self.image(ami_id, status="inspecting")
        image.inspection_attempts.create(arn=self.arn, region=REGION)
        return image

    def foreign(self, *, public: bool = True, share_disk: bool = False) -> tuple[str, str]:
        """Register somebody else's AMI that the customer may launch; gives its id and snapshot."""
        ami, snapshot = self.register(OTHER)
        ec2 = self.aws.client("ec2", account_id=OTHER)
        permission = {"Group": "all"} if public else {"UserId": CUSTOMER}
        ec2.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [permission]})
        if share_disk:
            ec2.modify_snapshot_attribute(
                SnapshotId=snapshot,
                Attribute="createVolumePermission",
                OperationType="add",
                UserIds=[CUSTOMER],
            )
        return ami, snapshot

    def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run a task as its worker would, but without its retries."""
        return current_app.tasks[name](*args, **kwargs)

    def start(self, *images: MachineImage) -> None:
        """Start inspections."""
        self.run(START, [[self.arn, image.cloud_image_id, REGION] for image in images])

    def work(self, *, also_later: bool = False) -> list[str]:
        """Run what is queued, and what that queues; gives the names.

        Tasks with a countdown stay queued, unless ``also_later``.
        """
        done: list[str] = []
        while ready := [task for task in self.queued if also_later or not task.countdown]:
            waiting = [task for task in self.queued if task not in ready]
            self.queued.clear()
            self.queued._tasks += waiting
            for task in ready:
                self.run(task.name, *task.args, **task.kwargs)
                done.append(task.name)
        return done

    def refuse(self, action: str, code: str, message: str = "refused", **others: Any) -> None:
        """Let AWS refuse an action of EC2."""
        fault = {"service": "ec2", "action": action, "code": code, "message": message}
        self.aws.call("POST", "/_control/faults", fault | others)

    def calls(self, *actions: str) -> list[str]:
        """Return the calls so far of these actions, by anybody."""
        return [call["action"] for call in self.aws.calls() if call["action"] in actions]

    def shared_with(self, snapshot_id: str) -> list[str]:
        """Return the accounts that may copy one of the customer's snapshots."""
        answer = self.customers.describe_snapshot_attribute(
            SnapshotId=snapshot_id, Attribute="createVolumePermission"
        )
        return [one["UserId"] for one in answer.get("CreateVolumePermissions", [])]

    def own_snapshots(self) -> list[Any]:
        """Describe the copies in our account."""
        filters = [{"Name": "tag:cloudigrade-environment", "Values": ["test"]}]
        return self.own.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]

    def inspectors(self, *states: str) -> list[Any]:
        """Describe the instances in our account, by default those that are there."""
        wanted = {"Name": "instance-state-name", "Values": list(states) or ["pending", "running"]}
        answer = self.own.describe_instances(Filters=[wanted])
        return [one for each in answer["Reservations"] for one in each["Instances"]]

    def user_data(self, instance_id: str) -> str:
        """Return the script that an instance runs when it starts."""
        answer = self.own.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        return script_of(base64.b64decode(answer["UserData"]["Value"]).decode())

    def deliver(self, content: Any, *, announce: bool = True) -> str:
        """Put a result file into the bucket, which announces it; gives its key."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        key = f"InspectionResults/2024-05/06/07.08.09-{number()}.json"
        self.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
        if not announce:
            (message,) = self.sqs.receive_message(QueueUrl=self.url)["Messages"]
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return key

    def send(self, body: str) -> None:
        """Send a message to the results queue."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def announce(self, *keys: str) -> None:
        """Send one message for several objects."""
        records = [{"s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}} for key in keys]
        self.send(json.dumps({"Records": records}))

    def persist(self) -> tuple[int, int]:
        """Read the results queue; gives how many messages succeeded and failed."""
        successes, failures = self.run(PERSIST)
        return len(successes), len(failures)


def script_of(user_data: str) -> str:
    """Return the shell script of a multipart user data."""
    (script,) = (
        str(part.get_payload())
        for part in message_from_string(user_data).walk()
        if part.get_content_type() == "text/x-shellscript"
    )
    return script


def attempts(image: MachineImage) -> list[InspectionAttempt]:
    """Return an image's attempts in order."""
    return list(InspectionAttempt.objects.filter(machine_image=image).order_by("id"))


def fresh(image: MachineImage) -> MachineImage:
    """Return an image as it is stored now."""
    return MachineImage.objects.get(id=image.id)
