"""Files that S3 notifies to one of our queues, whatever they hold (spec 04 §8.1, 05 §6).

A batch of messages is received, held while it is worked on, and what is done with is deleted. What
is wrong with one file, or one message, concerns that one alone.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from api.clouds.aws.cloudtrail.s3_notifications import NotifiedObject
from api.clouds.aws.provisioning import queues
from api.clouds.aws.provisioning.notifying_buckets import NotifyingBucket
from api.clouds.aws.provisioning.queues import Message
from api.clouds.aws.session import s3
from util import postgres

logger = logging.getLogger(__name__)

File = TypeVar("File")
Work = TypeVar("Work")
Worked = TypeVar("Worked")

MAX_OBJECT = 32 * 1024 * 1024
"""Bytes of an object at most; CloudTrail's and the inspectors' own stay far below.

As many as are fetched at the same time have to fit into a pod, beside the text of one (decision
43).
"""


class TooLargeError(Exception):
    """An object has more bytes than we read."""


class Content(NamedTuple):
    """An object as S3 gave it."""

    data: bytes
    content_type: str
    etag: str
    size: int


def consume(
    bucket: NotifyingBucket,
    work_on: Callable[[Sequence[Message]], tuple[Worked, Sequence[Message]]],
    *,
    limit: int,
    seconds: int | None = None,
) -> Iterator[Worked]:
    """Work on what a bucket's queue holds, up to ``limit`` messages, batch by batch.

    ``work_on`` returns what it made of a batch, which is yielded, and the messages that are done
    with, which have been deleted then. Messages are held for ``seconds`` at a time, by default for
    as long as the queue says. Raises what SQS answers to the question for messages.
    """
    for messages in queues.receive(bucket, limit=limit, seconds=seconds):
        with queues.held(bucket, messages, seconds=seconds or queues.hold_seconds(bucket)):
            worked, done = work_on(messages)
        try:
            queues.delete(bucket, done)
        except (ClientError, BotoCoreError) as error:
            # They will be shown again, and change nothing then.
            logger.warning("Messages that were worked on stay on the queue: %s", error)
        yield worked


def fetch(notified: NotifiedObject) -> Content:
    """Read an object; raise ``TooLargeError``, and what S3's client raises."""
    answer = s3().get_object(Bucket=notified.bucket, Key=notified.key)
    size = answer["ContentLength"]
    if size > MAX_OBJECT:
        raise TooLargeError(f"{size} bytes")
    return Content(
        data=answer["Body"].read(),
        content_type=answer.get("ContentType", ""),
        etag=answer.get("ETag", "").strip('"'),
        size=size,
    )


def together_or_apart(
    work: Callable[[Sequence[File]], Work],
    files: Sequence[File],
    refuse: Callable[[File, Exception], None],
) -> Iterator[tuple[Sequence[File], Work]]:
    """Do work on all files at once or, if that fails, on each for itself: none can hinder others.

    Yield the files of which it succeeded, with its result; ``refuse`` is told the others and why.
    A database that is away is no fault of a file: raises its error (decision 44).
    """
    try:
        worked = work(files)
    except Exception as error:
        if postgres.is_away(error):
            raise
        if len(files) == 1:
            refuse(files[0], error)
            return
        logger.warning("A batch of %s files failed and is taken apart: %r", len(files), error)
        for file in files:
            yield from together_or_apart(work, [file], refuse)
    else:
        yield files, worked


def fate(message: Message) -> str:
    """Return, for a log line, where a message goes that could not be worked on."""
    last = message.receives >= settings.AWS_SQS_MAX_RECEIVE_COUNT
    return "goes to the dead letter queue" if last else "stays on the queue"
