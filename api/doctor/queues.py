"""Checks our SQS queues and their dead letters (spec 12 §3)."""

from collections.abc import Iterator

from api.clouds.aws.provisioning import dead_letters, queues
from api.clouds.aws.provisioning.notifying_buckets import pipes
from api.doctor.findings import Finding


def dead_letter_queues() -> Iterator[Finding]:
    """Tell of dead letters, as SQS counts them now, and of queues that are missing."""
    for pipe in pipes():
        if queues.find(pipe.queue) is None:
            yield Finding(f"SQS queue {pipe.queue} is missing.", "Our AWS account")
        elif count := dead_letters.count(pipe):
            yield Finding(
                f"{count} dead letters lie in {pipe.dead_letter_queue}.", "CloudigradeDeadLetters"
            )
