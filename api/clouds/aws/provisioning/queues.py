"""Our SQS queues: found or made, configured, read (spec 04 §8.1, §10.1, §10.2, §10.4)."""

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.cache import cache

from api.clouds.aws import backlog
from api.clouds.aws.errors import code_of
from api.clouds.aws.provisioning.notifying_buckets import (
    NotifyingBucket,
    dead_letter_name,
    notifying_buckets,
    results_bucket,
    trail_bucket,
)
from api.clouds.aws.session import sqs
from util import clock, postgres

logger = logging.getLogger(__name__)

RETENTION = 345_600
DEAD_LETTER_RETENTION = 1_209_600
"""Seconds that a message is kept."""

BATCH = 10
"""Messages that SQS hands out, or takes back, at once."""

LONGEST_SHOWN = 4000
"""Characters of a message's body in a task's result; those of S3's notifications have 1,500."""

LONG_POLL = 2
"""Seconds that an empty queue is waited for; some, so that SQS asks all of its servers."""

FIRST_SENT = "first_sent"
"""Attribute of a message that was put back: when it was sent first, as ``SentTimestamp`` has it."""

_LENGTH = "ApproximateNumberOfMessages"
_IN_FLIGHT = "ApproximateNumberOfMessagesNotVisible"
LENGTH_KEY = "sqs_message_count_{label}"


@dataclass(frozen=True, slots=True)
class Message:
    """One message that we hold for a while."""

    id: str
    receipt: str
    body: str
    sent_at: datetime | None
    receives: int
    attributes: dict[str, Any] = field(default_factory=dict)
    """Those that its sender gave it."""

    def shown(self) -> dict[str, str]:
        """Return what the result of a task says of the message (spec 04 §8.1)."""
        return {"message_id": self.id, "body": self.body[:LONGEST_SHOWN]}


class _Urls:
    """Queue URLs, remembered by this process for a moment."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}

    def get(self, name: str) -> str | None:
        url, until = self._known.get(name, ("", 0.0))
        return url if time.monotonic() < until else None

    def remember(self, name: str, url: str) -> str:
        self._known[name] = (url, time.monotonic() + settings.CACHE_TTL_DEFAULT)
        return url

    def forget(self) -> None:
        self._known.clear()


urls = _Urls()


def queue_url(bucket: NotifyingBucket) -> str:
    """Find a bucket's queue by its name; one that does not exist is made, with all it needs."""
    return urls.get(bucket.queue) or urls.remember(
        bucket.queue, find(bucket.queue) or _create_queue(bucket)
    )


def queue_arn(bucket: NotifyingBucket) -> str:
    """Return the ARN of a bucket's queue, made if it does not exist."""
    return _attributes(queue_url(bucket), "QueueArn")["QueueArn"]


def find(name: str) -> str | None:
    """Return the URL of the queue of that name; None if there is none."""
    try:
        return str(sqs().get_queue_url(QueueName=name)["QueueUrl"])
    except ClientError as error:
        if is_missing_queue(error):
            return None
        raise


def is_missing_queue(error: ClientError) -> bool:
    """Return whether SQS says that there is no such queue."""
    return code_of(error).endswith((".NonExistentQueue", "QueueDoesNotExist"))


def _create_queue(bucket: NotifyingBucket) -> str:
    logger.warning("SQS queue %s does not exist and is created", bucket.queue)
    url = _create(bucket.queue, RETENTION)
    _configure(bucket, url)
    return url


def _create(name: str, retention: int) -> str:
    attributes = {"MessageRetentionPeriod": str(retention), "SqsManagedSseEnabled": "true"}
    return str(sqs().create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def is_right(bucket: NotifyingBucket) -> bool | None:
    """Return whether a bucket's queue is as it has to be, None where there is none; only reads."""
    url = find(bucket.queue)
    if url is None:
        return False if find(bucket.dead_letter_queue) else None
    return _is_configured(bucket, _present(url))


def configure_queue(bucket: NotifyingBucket) -> None:
    """Make sure that a bucket's queue exists and is as it has to be (spec 04 §10.2).

    What is right already is left alone. Raises what AWS raises, after logging it.
    """
    url = None
    try:
        url = find(bucket.queue) or _create_queue(bucket)
        _configure(bucket, url)
    except (ClientError, BotoCoreError):
        logger.exception("Could not configure SQS queue %s (%s)", bucket.queue, url)
        raise


def remove_queue(bucket: NotifyingBucket) -> None:
    """Delete a bucket's queue and its dead letter queue, with all messages."""
    for name in (bucket.queue, bucket.dead_letter_queue):
        if url := find(name):
            sqs().delete_queue(QueueUrl=url)
    urls.forget()


def _configure(bucket: NotifyingBucket, url: str) -> None:
    present = _present(url)
    if _is_configured(bucket, present):
        return
    if not _redrives(present):
        present["RedrivePolicy"] = _redrive_policy(bucket, present["QueueArn"])
        if not find(bucket.dead_letter_queue):
            _create(bucket.dead_letter_queue, DEAD_LETTER_RETENTION)
    sqs().set_queue_attributes(
        QueueUrl=url,
        Attributes={
            "Policy": json.dumps(bucket.queue_policy(present["QueueArn"])),
            "RedrivePolicy": present["RedrivePolicy"],
            "VisibilityTimeout": _visibility_timeout(bucket) or present["VisibilityTimeout"],
        },
    )


def _present(url: str) -> dict[str, str]:
    return _attributes(url, "QueueArn", "Policy", "RedrivePolicy", "VisibilityTimeout")


def _is_configured(bucket: NotifyingBucket, present: dict[str, str]) -> bool:
    return (
        json.loads(present.get("Policy") or "{}") == bucket.queue_policy(present["QueueArn"])
        and _redrives(present)
        and _visibility_timeout(bucket) in (None, present["VisibilityTimeout"])
    )


def _visibility_timeout(bucket: NotifyingBucket) -> str | None:
    """Return what the timeout has to be, None where SQS's own will do."""
    if bucket != trail_bucket():
        return None
    return str(settings.AWS_CLOUDTRAIL_EVENT_QUEUE_VISIBILITY_TIMEOUT)


def _attributes(url: str, *names: str) -> dict[str, str]:
    answer = sqs().get_queue_attributes(QueueUrl=url, AttributeNames=list(names))
    attributes: dict[str, str] = answer.get("Attributes", {})
    return attributes


def _redrives(present: dict[str, str]) -> bool:
    """Check whether a queue's redrive policy has our count and a queue that exists."""
    target, count = _parse_redrive(present.get("RedrivePolicy", ""))
    return count == settings.AWS_SQS_MAX_RECEIVE_COUNT and bool(target and find(target))


def _redrive_policy(bucket: NotifyingBucket, queue_arn: str) -> str:
    place = queue_arn.rpartition(":")[0]
    return json.dumps(
        {
            "deadLetterTargetArn": f"{place}:{bucket.dead_letter_queue}",
            "maxReceiveCount": settings.AWS_SQS_MAX_RECEIVE_COUNT,
        }
    )


def _parse_redrive(text: str) -> tuple[str, int]:
    """Return the name of a policy's dead letter queue, and its count; empty where it has none."""
    try:
        policy = json.loads(text)
        arn, count = str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"])
    except (ValueError, LookupError, TypeError):
        return "", 0
    # arn:aws:sqs:{region}:{account}:{name}
    parts = arn.split(":")
    return (parts[5] if len(parts) == 6 and parts[:3] == ["arn", "aws", "sqs"] else ""), count


def configure_queues() -> Iterator[str]:
    """Configure both queues, giving the name of each before it is worked on."""
    for bucket in notifying_buckets():
        yield bucket.queue
        configure_queue(bucket)


def hold_seconds(bucket: NotifyingBucket) -> int:
    """Return for how many seconds a queue hides a message that was taken."""
    return int(_attributes(queue_url(bucket), "VisibilityTimeout")["VisibilityTimeout"])


def receive(
    bucket: NotifyingBucket, *, limit: int, seconds: int | None = None
) -> Iterator[list[Message]]:
    """Take messages in batches until the queue shows none, or as many as the limit were taken.

    They are shown to nobody else for some seconds, by default as many as the queue says, and are
    the caller's to hold and to delete. A queue that vanishes meanwhile is an empty one, with a
    warning. None is taken while the database is away, since SQS counts how often it hands a message
    out (decision 44): raises what the database raises.
    """
    url = queue_url(bucket)
    hold = {} if seconds is None else {"VisibilityTimeout": seconds}
    while limit > 0:
        postgres.require_writable()
        try:
            answer = sqs().receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(BATCH, limit),
                WaitTimeSeconds=LONG_POLL,
                **hold,
                AttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
                MessageAttributeNames=["All"],
            )
        except ClientError as error:
            if not is_missing_queue(error):
                raise
            logger.warning("SQS queue %s does not exist", bucket.queue)
            urls.forget()
            return
        messages = [_message(raw) for raw in answer.get("Messages", ())]
        if not messages:
            return
        limit -= len(messages)
        yield messages


def _message(raw: dict[str, Any]) -> Message:
    attributes, given = raw.get("Attributes", {}), raw.get("MessageAttributes", {})
    sent = given.get(FIRST_SENT, {}).get("StringValue") or attributes.get("SentTimestamp")
    return Message(
        id=raw["MessageId"],
        receipt=raw["ReceiptHandle"],
        body=raw["Body"],
        sent_at=datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else None,
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
        attributes=given,
    )


@contextmanager
def held(bucket: NotifyingBucket, messages: Sequence[Message], *, seconds: int) -> Iterator[None]:
    """Keep messages from being shown to others while the block works on them.

    ``seconds`` is for how long they are held already, and how long at a time they will be. Where
    the block fails as a whole they are given back at once.
    """
    done = threading.Event()
    url, receipts = queue_url(bucket), [message.receipt for message in messages]

    def renew() -> None:
        while not done.wait(max(seconds / 3, 1)):
            _hold_for(url, receipts, seconds)

    keeper = threading.Thread(target=renew, name="sqs-visibility", daemon=True)
    keeper.start()
    failed = True
    try:
        yield
        failed = False
    finally:
        done.set()
        keeper.join()
        if failed:
            show_again(url, receipts)


def show_again(url: str, receipts: Sequence[str]) -> None:
    """Return messages of a queue back that were not worked on: others may take them at once."""
    _hold_for(url, receipts, 0)


def _hold_for(url: str, receipts: Sequence[str], seconds: int) -> None:
    for first in range(0, len(receipts), BATCH):
        batch = receipts[first : first + BATCH]
        try:
            sqs().change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for number, receipt in enumerate(batch)
                ],
            )
        except (ClientError, BotoCoreError) as error:
            logger.warning("Messages of %s may be shown again at another time: %s", url, error)


def put_back(bucket: NotifyingBucket, messages: Sequence[Message], *, seconds: int) -> None:
    """Let messages be shown again after some seconds, as if nobody had received them yet.

    SQS counts each receive, and sets a message aside after a few; so a new message with the same
    body takes the place of the old one, and remembers when that was sent.
    """
    url = queue_url(bucket)
    for first in range(0, len(messages), BATCH):
        batch = messages[first : first + BATCH]
        answer = sqs().send_message_batch(
            QueueUrl=url,
            Entries=[
                {
                    "Id": str(number),
                    "MessageBody": one.body,
                    "DelaySeconds": seconds,
                    "MessageAttributes": one.attributes | _remember(one.sent_at),
                }
                for number, one in enumerate(batch)
            ],
        )
        for failure in answer.get("Failed", ()):
            message = batch[int(failure["Id"])]
            logger.warning("SQS refused to put back %s: %s", message.id, failure.get("Message"))
        delete(bucket, [batch[int(sent["Id"])] for sent in answer.get("Successful", ())])


def send(bucket: NotifyingBucket, bodies: Sequence[str]) -> None:
    """Send new messages. Raises what SQS answers, also for a single message."""
    for first in range(0, len(bodies), BATCH):
        answer = sqs().send_message_batch(
            QueueUrl=queue_url(bucket),
            Entries=[
                {"Id": str(number), "MessageBody": body}
                for number, body in enumerate(bodies[first : first + BATCH])
            ],
        )
        for failure in answer.get("Failed", ()):
            raise ClientError({"Error": failure}, "SendMessageBatch")


def _remember(sent_at: datetime | None) -> dict[str, Any]:
    if sent_at is None:
        return {}
    milliseconds = str(round(sent_at.timestamp() * 1000))
    return {FIRST_SENT: {"DataType": "Number", "StringValue": milliseconds}}


def delete(bucket: NotifyingBucket, messages: Sequence[Message]) -> list[Message]:
    """Delete messages that are done with; return those that SQS kept, which will be shown again."""
    kept: list[Message] = []
    for first in range(0, len(messages), BATCH):
        batch = messages[first : first + BATCH]
        answer = sqs().delete_message_batch(
            QueueUrl=queue_url(bucket),
            Entries=[
                {"Id": str(number), "ReceiptHandle": one.receipt}
                for number, one in enumerate(batch)
            ],
        )
        for failure in answer.get("Failed", ()):
            message = batch[int(failure["Id"])]
            logger.warning("SQS kept message %s: %s", message.id, failure.get("Message"))
            kept.append(message)
    return kept


def labelled_queues() -> dict[str, str]:
    """Return the names of all queues by the labels that the metrics know them by."""
    results, trails = results_bucket(), trail_bucket()
    return {
        "houndigrade_results": results.queue,
        "houndigrade_results_dlq": dead_letter_name(results.queue),
        "cloudtrail_notifications": trails.queue,
        "cloudtrail_notifications_dlq": dead_letter_name(trails.queue),
    }


def length_of(url: str) -> int:
    """Return about how many messages a queue has to show."""
    return _lengths_of(url)[0]


def _lengths_of(url: str) -> tuple[int, int]:
    """Return about how many messages a queue has to show, and how many are being worked on."""
    lengths = _attributes(url, _LENGTH, _IN_FLIGHT)
    return int(lengths[_LENGTH]), int(lengths.get(_IN_FLIGHT, 0))


def cache_lengths() -> None:
    """Remember how many messages each queue holds (spec 04 §10.4).

    A queue that cannot be read keeps its old value, and is never made by this.
    """
    held: dict[str, int] = {}
    for label, name in labelled_queues().items():
        try:
            length, in_flight = _lengths_of(sqs().get_queue_url(QueueName=name)["QueueUrl"])
            held[name] = length + in_flight
            key = LENGTH_KEY.format(label=label)
            cache.set(key, length, settings.CACHED_SQS_QUEUE_LENGTH_EXPIRATION_TTL)
            # Kept for ever: an alert needs to know of a check that was too long ago.
            cache.set(f"{key}_checked_at", clock.now().timestamp(), None)
        except Exception:
            logger.exception("Could not tell the length of SQS queue %s", name)
    trails = trail_bucket()
    if trails.queue in held:
        backlog.note_queue(held[trails.queue], held.get(trails.dead_letter_queue, 0))
