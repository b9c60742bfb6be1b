"""The bucket that CloudTrail delivers to, and the queue that is told of its files."""

import time
from datetime import UTC, datetime

from deployment.local.app import Product
from deployment.local.aws import AwsControl
from deployment.local.demo.customers import Customer
from deployment.local.demo.entry_points import wait_for
from tests.generators import cloudtrail


class LogBucket:
    """Delivers log files as CloudTrail does, and knows those that it delivered."""

    def __init__(self, aws: AwsControl, product: Product) -> None:
        environment = product.environment["CLOUDIGRADE_ENVIRONMENT"]
        self._aws = aws
        self._product = product
        self._bucket = f"{environment}-cloudigrade-trails"
        self._queue = f"{environment}-cloudigrade-cloudtrail-s3"
        self._files: dict[str, bytes] = {}

    def deliver(self, customer: Customer, content: bytes) -> None:
        """Deliver a log file of a customer now."""
        key = cloudtrail.log_key(
            account=customer.aws_account_id,
            at=datetime.now(UTC),
            name=f"demo{len(self._files):012}",
        )
        self._files[key] = content
        self._put(key, content)

    def _put(self, key: str, content: bytes) -> None:
        self._aws.client("s3").put_object(Bucket=self._bucket, Key=key, Body=content)

    def withhold(self, customer: Customer, content: bytes, *, at: datetime) -> str:
        """Deliver a log file of a customer at a time of which no queue is told; return its key."""
        key = cloudtrail.log_key(account=customer.aws_account_id, at=at, name="Withheld")
        s3 = self._aws.client("s3")
        told = s3.get_bucket_notification_configuration(Bucket=self._bucket)
        told.pop("ResponseMetadata", None)
        s3.put_bucket_notification_configuration(Bucket=self._bucket, NotificationConfiguration={})
        self._put(key, content)
        s3.put_bucket_notification_configuration(
            Bucket=self._bucket, NotificationConfiguration=told
        )
        return key

    def deliver_all_again(self) -> None:
        """Deliver each of the files that the queue was told of once more."""
        for key, content in self._files.items():
            self._put(key, content)

    def announce_test_event(self) -> None:
        """Send the message with which S3 tries a new notification."""
        self._aws.client("sqs").send_message(
            QueueUrl=self._queue_url(), MessageBody=cloudtrail.s3_test_event(self._bucket)
        )

    def _queue_url(self) -> str:
        url: str = self._aws.client("sqs").get_queue_url(QueueName=self._queue)["QueueUrl"]
        return url

    def wait_until_read(self) -> None:
        """Wait until all that was announced has been taken from the queue."""
        sqs = self._aws.client("sqs")

        def is_read() -> bool:
            attributes = sqs.get_queue_attributes(
                QueueUrl=self._queue_url(), AttributeNames=["ApproximateNumberOfMessages"]
            )["Attributes"]
            return int(attributes["ApproximateNumberOfMessages"]) == 0

        wait_for("the queue to be empty", is_read, product=self._product)
        time.sleep(2)
        wait_for("the queue to be empty", is_read, product=self._product)
