"""Take CloudTrail's logs from the queue and store what they say (spec 04 §8).

Receive (``notified_files``) -> read (``read``, ``parse``, ``records``) -> select (``filter``)
-> ask EC2 (``enrich``) -> store (``load_by_customer``, ``load``), and record what became of each
file (``ingest_log``). No database transaction is open while AWS is asked, and no lock is held but
while rows are written. One bad record, file, message or account never stops the others.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from api.clouds import freshness
from api.clouds.aws.cloudtrail import ingest_log, metrics
from api.clouds.aws.cloudtrail.enrich import Enrichment, enrich
from api.clouds.aws.cloudtrail.filter import FileResult, select_from_files
from api.clouds.aws.cloudtrail.load_by_customer import CustomerBusyError, store_files
from api.clouds.aws.cloudtrail.read import Delivery, read_deliveries
from api.clouds.aws.errors import is_access_denied
from api.clouds.aws.notified_files import consume, fate, together_or_apart
from api.clouds.aws.provisioning import queues
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.provisioning.queues import Message
from api.models import CloudType, IngestObject
from util.tasks import enqueue

logger = logging.getLogger(__name__)

ANALYZE_LOG = "api.clouds.aws.tasks.analyze_log"
FOLLOWER = "analyze-log-follower"
LATE_FOLLOWER = "analyze-log-late-follower"

PUT_BACK_SECONDS = 10
"""After how long logs of a busy customer are tried again."""


@dataclass(slots=True)
class HandledMessages:
    """Which messages were done with, and which stay on the queue."""

    successes: list[Message] = field(default_factory=list)
    failures: list[Message] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many messages there were."""
        return len(self.successes) + len(self.failures)


def analyze_log() -> HandledMessages:
    """Work on what the queue holds, up to ``AWS_SQS_MAX_YIELD_COUNT`` messages.

    Several workers may do so at the same time; while a run finds more than it may take, another one
    is queued at once. Raises what SQS answers to the question for messages.
    """
    cache.delete(FOLLOWER)
    result = HandledMessages()
    bucket = trail_bucket()
    limit = settings.AWS_SQS_MAX_YIELD_COUNT
    for deliveries in consume(bucket, _work_on_batch, limit=limit):
        result.successes += [one.message for one in deliveries if one.trouble is None]
        result.failures += [one.message for one in deliveries if one.trouble is not None]
        _put_back([one.message for one in deliveries if _is_busy(one)])
    if result.taken >= limit and result.successes:
        _let_another_follow()
    return result


def _let_another_follow() -> None:
    """Queue another run, unless one that has not begun yet is queued already.

    So a backlog is worked on as fast as there are workers, and an empty queue is asked no more
    often than the schedule says.
    """
    if cache.add(FOLLOWER, True, settings.CACHE_TTL_DEFAULT):
        enqueue(ANALYZE_LOG)


def _is_busy(delivery: Delivery) -> bool:
    return isinstance(delivery.trouble, CustomerBusyError)


def _put_back(messages: Sequence[Message]) -> None:
    """Let messages come again soon of which somebody holds a customer's lock, and take them then.

    It was not for their sake that they failed, so it does not count as one of their receives.
    """
    if not messages:
        return
    try:
        queues.put_back(trail_bucket(), messages, seconds=PUT_BACK_SECONDS)
    except (ClientError, BotoCoreError) as error:
        logger.warning("Messages of busy customers are shown again when SQS will: %s", error)
        return
    if cache.add(LATE_FOLLOWER, True, PUT_BACK_SECONDS):
        enqueue(ANALYZE_LOG, countdown=PUT_BACK_SECONDS + 1)


def _work_on_batch(messages: Sequence[Message]) -> tuple[list[Delivery], list[Message]]:
    deliveries = work_on(messages)
    return deliveries, [one.message for one in deliveries if one.trouble is None]


def work_on(messages: Sequence[Message]) -> list[Delivery]:
    """Store what the files say that messages notify; return all, with what became of each."""
    deliveries = read_deliveries(messages)
    store_deliveries(deliveries)
    for delivery in deliveries:
        if delivery.trouble is not None:
            _report(delivery)
    metrics.count_messages(deliveries)
    return deliveries


def store_deliveries(deliveries: Sequence[Delivery]) -> None:
    """Store what files say that were read; note in its file, and in the ingest log, what fails."""
    file_results = _file_results(deliveries)
    _store(file_results)
    if any(file_result.file.problem is None for file_result in file_results):
        freshness.note_ingest(CloudType.AWS)
    _record_failures(deliveries)
    metrics.count_files(file_results)


def _file_results(deliveries: Sequence[Delivery]) -> list[FileResult]:
    """Return each file once, with the first message that notified it."""
    files: dict[int, FileResult] = {}
    for delivery in deliveries:
        for file in delivery.files:
            files.setdefault(id(file), FileResult(file, delivery.message))
    return list(files.values())


def _store(file_results: Sequence[FileResult]) -> None:
    """Store what files say; what cannot be stored is noted in its file.

    A database that is away is no fault of a file: raises its error (decision 44).
    """
    whole = [file_result for file_result in file_results if file_result.file.problem is None]
    if whole:
        for some, enrichment in together_or_apart(_select_and_enrich, whole, _refuse):
            store_files(some, enrichment)


def _select_and_enrich(file_results: Sequence[FileResult]) -> Enrichment:
    select_from_files(file_results)
    return enrich([file_result.relevant for file_result in file_results])


def _refuse(file_result: FileResult, error: Exception) -> None:
    file_result.file.problem = error
    file_result.file.outcome = IngestObject.Outcome.REJECTED


def _record_failures(deliveries: Sequence[Delivery]) -> None:
    failed = [
        FileResult(file, delivery.message)
        for delivery in deliveries
        for file in delivery.files
        if file.problem and file.outcome
    ]
    try:
        with transaction.atomic():
            ingest_log.save_objects(failed)
    except Exception:
        logger.exception("Could not record %s files that failed", len(failed))


def _report(delivery: Delivery) -> None:
    """Say why a message stays on the queue, and whether this was its last chance."""
    message = delivery.message
    if _is_busy(delivery):
        logger.warning("Message %s is put back into the queue: %s", message.id, delivery.trouble)
        return
    after = fate(message)
    if delivery.problem:
        logger.error("Message %s %s: %r", message.id, after, delivery.problem)
    for file in delivery.files:
        if file.problem:
            denied = is_access_denied(file.problem)
            logger.log(
                logging.WARNING if denied else logging.ERROR,
                "Message %s %s because of %s: %r",
                message.id,
                after,
                file.notified,
                file.problem,
            )
