"""Checks our SQS queues and their dead letters (spec 12 §3)."""

from collections.abc import Iterator

from api.clouds.aws.provisioning import dead_letters, queues
from api.clouds.aws.provisioning.notifying_buckets import notifying_buckets
from api.doctor.findings import Finding


def dead_letter_queues() -> Iterator[Finding]:
    """Report dead letters, as SQS counts them now, and queues that are missing."""
    for bucket in notifying_buckets():
        if queues.find(bucket.queue) is None:
            yield Finding(f"SQS queue {bucket.queue} is missing.", "Our AWS account")
        elif count := dead_letters.count(bucket):
            yield Finding(
                f"{count} dead letters lie in {bucket.dead_letter_queue}.", "CloudigradeDeadLetters"
            )
