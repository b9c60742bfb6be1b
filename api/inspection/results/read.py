"""Read the queue that hears of the inspectors' result files (spec 05 §6).

Whatever is wrong with one message or file concerns that one alone.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.cloudtrail.s3_notifications import (
    Form,
    NotifiedObject,
    UnknownFormError,
    UnreadableBodyError,
    parse_notification,
)
from api.clouds.aws.notified_files import TooLargeError, consume, fate, fetch, together_or_apart
from api.clouds.aws.provisioning.notifying_buckets import results_bucket
from api.clouds.aws.provisioning.queues import Message
from api.inspection.request import start_waiting
from api.inspection.results.parse import ParsedResult, UnreadableResultError, parse_result
from api.inspection.results.save import save_results
from util import metrics
from util.batches import batched_by_size

logger = logging.getLogger(__name__)

HOLD_SECONDS = 60
BYTES_AT_ONCE = 8 * 1024 * 1024
FILES_AT_ONCE = 100
"""How much is saved in one transaction, and in memory at the same time, beside one file more."""

_RESULTS = metrics.counter(
    "cloudigrade_inspection_result_messages",
    "Messages that notified inspection results",
    ("outcome",),
)


@dataclass(slots=True)
class QueueOutcome:
    """The messages that are done with, and those that stay on the queue."""

    successes: list[Message] = field(default_factory=list)
    failures: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class _Delivery:
    """A message and the files that it announces; ``problem`` is why it has to stay."""

    message: Message
    form: Form | None = None
    notified: list[NotifiedObject] = field(default_factory=list)
    problem: Exception | None = None

    @property
    def announces_nothing(self) -> bool:
        """Whether it is JSON of which nothing can come (spec 05 §6)."""
        if self.problem:
            return isinstance(self.problem, UnknownFormError)
        return not self.notified


def persist_results() -> QueueOutcome:
    """Store the results that wait on the queue; a message goes when all of its files are saved."""
    bucket = results_bucket()
    outcome = QueueOutcome()
    limit = settings.AWS_SQS_MAX_HOUNDI_YIELD_COUNT
    for batch in consume(bucket, _work_on, limit=limit, seconds=HOLD_SECONDS):
        outcome.successes += batch.successes
        outcome.failures += batch.failures
    _RESULTS.labels("success").inc(len(outcome.successes))
    _RESULTS.labels("failure").inc(len(outcome.failures))
    if outcome.successes:
        # They made room for others.
        start_waiting()
    return outcome


class _ResultFile(NamedTuple):
    """What a file says, and the message that notified it."""

    delivery: _Delivery
    result: ParsedResult


def _work_on(messages: Sequence[Message]) -> tuple[QueueOutcome, list[Message]]:
    """Store what messages announce; return what became of them, and those to be deleted."""
    tests, deliveries = [], []
    for delivery in map(_open, messages):
        message = delivery.message
        if delivery.form is Form.TEST:
            tests.append(message)
        elif delivery.announces_nothing:
            logger.error("Message %s has no records: %.200s", message.id, message.body)
        else:
            deliveries.append(delivery)
    files = (file for delivery in deliveries for file in _read(delivery))
    for some in batched_by_size(
        files, size_of=lambda file: file.result.size, limit=BYTES_AT_ONCE, most=FILES_AT_ONCE
    ):
        for _ in together_or_apart(_save, some, _refuse):
            pass
    outcome = QueueOutcome()
    for delivery in deliveries:
        if delivery.problem is None:
            outcome.successes.append(delivery.message)
        else:
            outcome.failures.append(delivery.message)
            _report(delivery)
    return outcome, [*tests, *outcome.successes]


def _open(message: Message) -> _Delivery:
    delivery = _Delivery(message)
    try:
        delivery.form, delivery.notified = parse_notification(message.body)
    except Exception as error:
        delivery.problem = error
    return delivery


def _read(delivery: _Delivery) -> Iterator[_ResultFile]:
    """Yield the files that a message announces; it stays if one of them cannot be read whole."""
    for notified in delivery.notified:
        try:
            result = parse_result(fetch(notified).data)
        except Exception as error:
            delivery.problem = error
            continue
        if result.unreadable:
            delivery.problem = UnreadableResultError("; ".join(result.unreadable)[:1000])
        yield _ResultFile(delivery, result)


def _save(files: Sequence[_ResultFile]) -> None:
    save_results([file.result for file in files])


def _refuse(file: _ResultFile, error: Exception) -> None:
    file.delivery.problem = error


def _report(delivery: _Delivery) -> None:
    message, problem = delivery.message, delivery.problem
    expected = isinstance(
        problem, UnreadableBodyError | UnreadableResultError | TooLargeError | ClientError
    )
    logger.error(
        "Message %s %s: %s: %r",
        message.id,
        fate(message),
        ", ".join(str(one) for one in delivery.notified) or message.body[:200],
        problem,
        exc_info=None if expected else problem,
    )
