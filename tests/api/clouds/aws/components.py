"""What stages of tests with a queue have in common."""

from typing import Any, ClassVar

from deployment.local.aws import AwsControl


class QueueStage:
    """A fake AWS, of which one queue of ours is looked at."""

    aws: AwsControl
    queue: ClassVar[str]

    @property
    def sqs(self) -> Any:
        """Our SQS."""
        return self.aws.client("sqs")

    @property
    def url(self) -> str:
        """The queue's."""
        return self.sqs.get_queue_url(QueueName=self.queue)["QueueUrl"]

    @property
    def left(self) -> int:
        """How many messages are on the queue, shown or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)
