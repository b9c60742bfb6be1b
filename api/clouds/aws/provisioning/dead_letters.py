"""Move dead letters back to the queue that gave them up (decision 44, spec 04 §10).

Most of them are dead because of something that passes: an outage, a missing permission, a fault of
a version. So they get another chance every hour, for a day; an operator can give it at any time.
Each is sent before it is deleted: one whose mover is killed in between is there twice, which does
no harm.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from api.clouds.aws.provisioning import queues
from api.clouds.aws.provisioning.notifying_buckets import NotifyingBucket, notifying_buckets
from api.clouds.aws.session import sqs
from util import postgres
from util.metrics import counter

logger = logging.getLogger(__name__)

ATTRIBUTE = "cloudigrade-redrives"
"""Of a message: how often it was moved back by itself."""

MOST_REDRIVES = 24
HOLD_SECONDS = 300
"""For how long a letter that is looked at is shown to nobody else."""

MOST_KEPT = 10_000
"""Letters of one queue that are looked at in vain, at most, before a run ends."""

LETTERS = counter(
    "cloudigrade_sqs_dead_letters",
    "Dead letters, by what became of them when they were to be moved back.",
    ("queue_name", "outcome"),
)

Letter = dict[str, Any]


@dataclass(slots=True)
class Redrive:
    """How many dead letters of a queue were moved back, are to stay, and could not be moved."""

    queue: str
    dead_letter_queue: str
    moved: int = 0
    kept: int = 0
    failed: int = 0


def redrive_all() -> list[Redrive]:
    """Move back what may be moved back by itself, of all queues."""
    return [redrive(bucket) for bucket in notifying_buckets()]


def redrive(bucket: NotifyingBucket, *, everything: bool = False) -> Redrive:
    """Move the dead letters of a bucket's queue back to it.

    Those that were moved back ``MOST_REDRIVES`` times stay, unless ``everything`` is to be moved:
    an operator knows that the cause has passed, and the letters count from nothing again. Nothing
    is moved while the database is away, since that is a cause that has not passed: raises what the
    database and SQS raise.
    """
    result = Redrive(bucket.queue, bucket.dead_letter_queue)
    url = queues.find(bucket.dead_letter_queue)
    if url is None:
        return result
    target = queues.queue_url(bucket)
    staying: dict[str, str] = {}
    try:
        for letters in _letters(url):
            known = staying.keys() & {one["MessageId"] for one in letters}
            left = _move(target, url, letters, everything, result)
            staying |= {one["MessageId"]: one["ReceiptHandle"] for one in left}
            if known or len(staying) >= MOST_KEPT:
                # They come round again.
                break
    finally:
        queues.show_again(url, list(staying.values()))
        _tell(result)
    return result


def count(bucket: NotifyingBucket) -> int:
    """Return about how many dead letters a bucket's queue has."""
    url = queues.find(bucket.dead_letter_queue)
    return queues.length_of(url) if url else 0


def _letters(url: str) -> Iterator[list[Letter]]:
    while True:
        postgres.require_writable()
        answer = sqs().receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=queues.BATCH,
            WaitTimeSeconds=queues.LONG_POLL,
            VisibilityTimeout=HOLD_SECONDS,
            MessageAttributeNames=["All"],
        )
        letters = answer.get("Messages")
        if not letters:
            return
        yield letters


def _move(
    target: str, url: str, letters: list[Letter], everything: bool, result: Redrive
) -> list[Letter]:
    """Move some letters; return those that stay."""
    sent: list[Letter] = []
    left: list[Letter] = []
    for letter in letters:
        (sent if _send(target, letter, everything, result) else left).append(letter)
    if sent:
        sqs().delete_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": letter["ReceiptHandle"]}
                for number, letter in enumerate(sent)
            ],
        )
    return left


def _send(target: str, letter: Letter, everything: bool, result: Redrive) -> bool:
    """Send a letter anew; tell whether it was sent."""
    attributes = dict(letter.get("MessageAttributes", {}))
    redrives = _number(attributes.pop(ATTRIBUTE, {}))
    if not everything:
        if redrives >= MOST_REDRIVES:
            result.kept += 1
            return False
        attributes[ATTRIBUTE] = {"DataType": "Number", "StringValue": str(redrives + 1)}
    try:
        sqs().send_message(
            QueueUrl=target, MessageBody=letter["Body"], MessageAttributes=attributes
        )
    except ClientError as error:
        logger.error("Dead letter %s cannot be moved back: %s", letter["MessageId"], error)
        result.failed += 1
        return False
    result.moved += 1
    return True


def _number(attribute: dict[str, Any]) -> int:
    """Read how often a letter was moved back; what is no number was written by others."""
    text = attribute.get("StringValue", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _tell(result: Redrive) -> None:
    outcomes = {"moved": result.moved, "kept": result.kept, "failed": result.failed}
    for outcome, number in outcomes.items():
        LETTERS.labels(result.queue, outcome).inc(number)
    if any(outcomes.values()):
        logger.warning(
            "Dead letters of %s: %s moved back, %s stay, %s cannot be moved",
            result.queue,
            *outcomes.values(),
        )
