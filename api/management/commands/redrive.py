"""Moves dead letters of an SQS queue back to it (decision 44)."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from django.db import OperationalError

from api.clouds.aws.provisioning import dead_letters
from api.clouds.aws.provisioning.notifying_buckets import (
    NotifyingBucket,
    results_bucket,
    trail_bucket,
)
from api.clouds.aws.provisioning.queues import labelled_queues
from api.management.base import OperatorCommand, add_dry_run, refusal
from util.shared_metrics import publisher


class Command(OperatorCommand):
    """For operators, after they have mended why messages could not be processed."""

    help = (
        "Move the dead letters of an SQS queue back to it, by default of the queue of CloudTrail's"
        " logs. All are moved, however often they were moved before."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "queue",
            nargs="?",
            help="name of the queue, of its dead letter queue, or of either in the metrics",
        )
        add_dry_run(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Move or count. Raises CommandError, with exit code 1, if letters cannot be moved."""
        bucket = _bucket(options["queue"])
        if options["dry_run"]:
            found = dead_letters.count(bucket)
            names = {"queue": bucket.queue, "dead_letter_queue": bucket.dead_letter_queue}
            text = (
                f"Would move {found} messages from {bucket.dead_letter_queue} to {bucket.queue}:"
                f" dead letters {found} -> 0."
            )
            self.tell({**names, "would_move": found, "before": found, "after": 0}, text)
            return
        try:
            result = dead_letters.redrive(bucket, everything=True)
        except OperationalError as error:
            raise CommandError("The database is away; nothing more is moved.") from error
        publisher.publish()
        text = f"Moved {result.moved} messages from {result.dead_letter_queue} to {result.queue}."
        self.tell(asdict(result), text)
        if result.failed:
            raise CommandError(f"{result.failed} messages could not be moved; the log says why.")


def _bucket(name: str | None) -> NotifyingBucket:
    if name is None:
        return trail_bucket()
    queue = labelled_queues().get(name, name)
    for bucket in (trail_bucket(), results_bucket()):
        if queue in (bucket.queue, bucket.dead_letter_queue):
            return bucket
    known = ", ".join(labelled_queues().values())
    raise refusal(f"{name!r} is none of our queues: {known}")
