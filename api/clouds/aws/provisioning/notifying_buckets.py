"""The two buckets through which files reach us, each with a queue that hears of its new objects.

Names and rules are those of spec 04 §1.1 and §5.3; a dead letter queue takes what a queue's reader
failed at too often.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

MAX_QUEUE_NAME = 80
DEAD_LETTER_SUFFIX = "-dlq"
NOTIFICATION_ID = "Notifications"


@dataclass(frozen=True, slots=True)
class NotifyingBucket:
    """A bucket, its queue, and which objects are announced."""

    bucket: str
    queue: str
    prefix: str
    suffix: str

    @property
    def dead_letter_queue(self) -> str:
        """The name of the queue for what could not be processed."""
        return dead_letter_name(self.queue)

    @property
    def bucket_arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:aws:s3:::{self.bucket}"

    def queue_policy(self, queue_arn: str) -> dict[str, Any]:
        """Let the bucket, whoever acts for it, send messages to the queue.

        Names of buckets are free again once they are deleted; so it must be in the queue's account.
        """
        # arn:aws:sqs:{region}:{account}:{name}
        account_id = queue_arn.split(":")[4]
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "BucketNotifications",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": "SQS:SendMessage",
                    "Resource": queue_arn,
                    "Condition": {
                        "ArnLike": {"aws:SourceArn": self.bucket_arn},
                        "StringEquals": {"aws:SourceAccount": account_id},
                    },
                }
            ],
        }

    def notification(self, queue_arn: str) -> dict[str, Any]:
        """Return the configuration that announces each new object to the queue."""
        rules = [{"Name": "prefix", "Value": self.prefix}, {"Name": "suffix", "Value": self.suffix}]
        return {
            "QueueConfigurations": [
                {
                    "Id": NOTIFICATION_ID,
                    "QueueArn": queue_arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": rules}},
                }
            ]
        }


def dead_letter_name(queue: str) -> str:
    """Return the name of a queue's dead letter queue, no longer than SQS allows."""
    return queue[: MAX_QUEUE_NAME - len(DEAD_LETTER_SUFFIX)] + DEAD_LETTER_SUFFIX


def trail_bucket() -> NotifyingBucket:
    """Return the bucket of CloudTrail's log files."""
    return NotifyingBucket(
        bucket=settings.AWS_CLOUDTRAIL_BUCKET_NAME,
        queue=settings.AWS_CLOUDTRAIL_QUEUE_NAME,
        prefix="AWSLogs/",
        suffix=".json.gz",
    )


def results_bucket() -> NotifyingBucket:
    """Return the bucket of inspection results."""
    return NotifyingBucket(
        bucket=settings.AWS_INSPECTION_BUCKET_NAME,
        queue=settings.AWS_INSPECTION_QUEUE_NAME,
        prefix="InspectionResults/",
        suffix=".json",
    )


def notifying_buckets() -> tuple[NotifyingBucket, NotifyingBucket]:
    """Return both buckets."""
    return results_bucket(), trail_bucket()
