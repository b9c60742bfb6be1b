"""What most tests of ingest begin with: an account, its bucket and queue, and how to fill them."""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from api.clouds.aws.cloudtrail import read
from api.clouds.aws.cloudtrail.pipeline import work_on
from api.clouds.aws.provisioning.queues import Message
from api.models import CloudAccount, InstanceEvent, Run
from api.tasks.aws import analyze_log
from deployment.local.aws import AwsControl
from tests.api.clouds.aws.components import QueueStage
from tests.factories import make_aws_account, make_user, number
from tests.generators import cloudtrail as trail
from tests.generators.fleet import LogFile

BUCKET = "test-cloudigrade-trails"
QUEUE = "test-cloudigrade-cloudtrail-s3"
ACCOUNT = "123456789013"
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


def at(hour: int, minute: int = 0, day: int = 2) -> datetime:
    """A moment on a day of January 2020, the second by default."""
    return datetime(2020, 1, day, hour, minute, tzinfo=UTC)


def ingest(messages: Sequence[Message]) -> list[Message]:
    """Store what the files say that messages notify; return the messages that are done with."""
    return [one.message for one in work_on(messages) if one.trouble is None]


def make_account(number: str = ACCOUNT, **columns: Any) -> CloudAccount:
    """Make an account that has been metered since the beginning of 2020."""
    user = make_user(date_joined=BEGINNING)
    defaults = {
        "aws_account_id": number,
        "account_arn": f"arn:aws:iam::{number}:role/r",
        "enabled_at": BEGINNING,
        "created_at": BEGINNING,
    }
    return make_aws_account(user=user, **(defaults | columns))


class LogsInMemory:
    """Stands in for the bucket of logs, where neither its calls nor its messages matter."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def notified(self, files: Iterable[LogFile]) -> list[Message]:
        """Put log files into the bucket; gives a message for each."""
        messages = []
        for file in files:
            self._objects[file.key] = file.body
            body = trail.notification(BUCKET, file.key)
            messages.append(Message(f"m{number()}", "r", body, datetime.now(UTC), 1))
        return messages

    def fetch(self, notified: read.NotifiedObject) -> read.Content:
        """Read an object."""
        data = self._objects[notified.key]
        return read.Content(data, "", "", len(data))


@dataclass
class Testbed(QueueStage):
    """The fake AWS of the product and of one customer."""

    __test__ = False
    queue = QUEUE

    aws: AwsControl
    account: CloudAccount

    def put(self, *records: Any, key: str | None = None, body: bytes | None = None) -> str:
        """Put a log file into the bucket without a message; gives its key."""
        key = key or trail.log_key(
            account=str(self.account.aws_account_id), at=at(12), name=f"N{number()}"
        )
        made = [self.mine(one) for one in records]
        self.aws.client("s3").put_object(
            Bucket=BUCKET, Key=key, Body=trail.log_file(made) if body is None else body
        )
        return key

    def mine(self, record: Any) -> Any:
        """Make a record that of this account, unless it says otherwise."""
        text = json.dumps(record).replace(trail.ACCOUNT, str(self.account.aws_account_id))
        return json.loads(text)

    def announce(self, *keys: str, body: str | None = None) -> None:
        """Send one message for objects."""
        text = trail.notification(BUCKET, *keys) if body is None else body
        self.sqs.send_message(QueueUrl=self.url, MessageBody=text)

    def deliver(self, *records: Any, **options: Any) -> str:
        """Put a log file and announce it; gives its key."""
        key = self.put(*records, **options)
        self.announce(key)
        return key

    def run(self) -> tuple[list[Any], list[Any]]:
        """Work on the queue; gives successes and failures."""
        successes, failures = analyze_log()
        return successes, failures

    def ingest(self, *records: Any, **options: Any) -> None:
        """Deliver a log file, and see it worked on."""
        self.deliver(*records, **options)
        successes, failures = self.run()
        assert (len(successes), failures) == (1, [])

    def show_again_at_once(self) -> None:
        """Let the queue show messages again that are not deleted, without any wait."""
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": "0"})

    def image(self, name: str = "an image", account: str | None = None, **options: Any) -> str:
        """Register an AMI in the customer's account, or another one; gives its id."""
        ec2 = self.aws.client("ec2", account_id=account or str(self.account.aws_account_id))
        return ec2.register_image(Name=f"{name} {number()}", RootDeviceName="/dev/xvda", **options)[
            "ImageId"
        ]

    def instance(self, image: str, type: str = "m5.large", **options: Any) -> str:
        """Launch an instance in the customer's account; gives its id."""
        ec2 = self.aws.client("ec2", account_id=str(self.account.aws_account_id))
        answer = ec2.run_instances(
            ImageId=image, InstanceType=type, MinCount=1, MaxCount=1, **options
        )
        return answer["Instances"][0]["InstanceId"]

    def asked(self, *actions: str) -> list[str]:
        """Which of these actions were called in the customer's account, in order."""
        return [
            call["action"]
            for call in self.aws.calls()
            if call["action"] in actions and call["account"] == self.account.aws_account_id
        ]


def events(instance_id: str | None = None) -> list[tuple[str, str, datetime, str | None]]:
    """Return the stored events: instance, what, when, type."""
    rows = InstanceEvent.objects.order_by("id")
    if instance_id:
        rows = rows.filter(instance__cloud_instance_id=instance_id)
    columns = ("instance__cloud_instance_id", "event_type", "occurred_at", "instance_type")
    return list(rows.values_list(*columns))


def runs() -> list[tuple[str, datetime, datetime | None, str | None]]:
    """Return the stored runs: instance, start, end, type."""
    rows = Run.objects.order_by("instance__cloud_instance_id", "start_time")
    columns = ("instance__cloud_instance_id", "start_time", "end_time", "instance_type")
    return list(rows.values_list(*columns))


def trails(aws: AwsControl, number: str = ACCOUNT) -> list[str]:
    """Return the names of an account's trails."""
    found = aws.client("cloudtrail", account_id=number).describe_trails()["trailList"]
    return [trail["Name"] for trail in found]


def bodies(messages: Sequence[dict[str, str]]) -> list[str]:
    """Return the bodies of a result's messages."""
    return [message["body"] for message in messages]


def unpacked(body: bytes) -> Any:
    """Read a log file."""
    return json.loads(gzip.decompress(body))


def refusing(code):
    def fetch(notified):
        raise ClientError({"Error": {"Code": code}}, "GetObject")

    return fetch
