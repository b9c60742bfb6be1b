"""Moves dead letters of an SQS queue back to it (decision 44)."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from api.clouds.aws.provisioning import dead_letters
from api.clouds.aws.provisioning.notifying_buckets import (
    NotifyingBucket,
    results_bucket,
    trail_bucket,
)
from api.clouds.aws.provisioning.queues import labelled_queues
from util.shared_metrics import publisher


class Command(BaseCommand):
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
        parser.add_argument("--dry-run", action="store_true", help="only count the letters")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move or count. Raises CommandError, with exit code 1, if letters cannot be moved."""
        bucket = _bucket(options["queue"])
        if options["dry_run"]:
            found = dead_letters.count(bucket)
            names = {"queue": bucket.queue, "dead_letter_queue": bucket.dead_letter_queue}
            text = f"Would move {found} messages from {bucket.dead_letter_queue} to {bucket.queue}."
            self._write({**names, "would_move": found}, text, options["json"])
            return
        try:
            result = dead_letters.redrive(bucket, everything=True)
        except OperationalError as error:
            raise CommandError("The database is away; nothing more is moved.") from error
        publisher.publish()
        text = f"Moved {result.moved} messages from {result.dead_letter_queue} to {result.queue}."
        self._write(asdict(result), text, options["json"])
        if result.failed:
            raise CommandError(f"{result.failed} messages could not be moved; the log says why.")

    def _write(self, result: dict[str, Any], text: str, as_json: bool) -> None:
        self.stdout.write(json.dumps(result) if as_json else text)


def _bucket(name: str | None) -> NotifyingBucket:
    if name is None:
        return trail_bucket()
    queue = labelled_queues().get(name, name)
    for bucket in (trail_bucket(), results_bucket()):
        if queue in (bucket.queue, bucket.dead_letter_queue):
            return bucket
    known = ", ".join(labelled_queues().values())
    raise CommandError(f"{name!r} is none of our queues: {known}", returncode=2)
