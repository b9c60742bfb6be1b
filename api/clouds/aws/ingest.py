"""Take CloudTrail's logs from the queue and store what they say (spec 04 §8).

Get (``deliveries``, ``lookup``) -> transform (``records``, ``admission``) -> load (``store``). No
database transaction is open while AWS is asked, and no lock is held but while rows are written. One
bad record, file, message or account never stops the others.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from api.clouds.aws import ingest_metrics as metrics
from api.clouds.aws import ledger, queues
from api.clouds.aws.admission import admit
from api.clouds.aws.deliveries import Delivery, read_deliveries
from api.clouds.aws.errors import is_access_denied
from api.clouds.aws.knowledge import Account, load_accounts
from api.clouds.aws.ledger import Entry
from api.clouds.aws.lookup import Lookup, look_up
from api.clouds.aws.pipes import trail_pipe
from api.clouds.aws.queues import Message
from api.clouds.aws.store import store_entries
from api.models import DescribeRun, IngestObject
from util import postgres
from util.tasks import enqueue

logger = logging.getLogger(__name__)

ANALYZE_LOG = "api.clouds.aws.tasks.analyze_log"
FOLLOWER = "analyze-log-follower"


@dataclass(slots=True)
class Result:
    """Which messages were done with, and which stay on the queue."""

    successes: list[Message] = field(default_factory=list)
    failures: list[Message] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many messages there were."""
        return len(self.successes) + len(self.failures)


def analyze_log() -> Result:
    """Work on what the queue holds, up to ``AWS_SQS_MAX_YIELD_COUNT`` messages.

    Several workers may do so at the same time; while a run finds more than it may take, another one
    is queued at once. Raises what SQS answers to the question for messages.
    """
    cache.delete(FOLLOWER)
    result = Result()
    pipe = trail_pipe()
    limit = settings.AWS_SQS_MAX_YIELD_COUNT
    for messages in queues.receive(pipe, limit=limit):
        with queues.held(pipe, messages, seconds=queues.hold_seconds(pipe)):
            done = ingest(messages)
        _delete(done)
        result.successes += done
        result.failures += [message for message in messages if message not in done]
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


def _delete(messages: Sequence[Message]) -> None:
    try:
        queues.delete(trail_pipe(), messages)
    except (ClientError, BotoCoreError) as error:
        # They will be shown again, and change nothing then.
        logger.warning("Messages that were worked on stay on the queue: %s", error)


def ingest(messages: Sequence[Message]) -> list[Message]:
    """Store what the files say that messages announce; gives the messages that are done with."""
    deliveries = read_deliveries(messages)
    store_deliveries(deliveries)
    done = []
    for delivery in deliveries:
        if delivery.trouble is None:
            done.append(delivery.message)
        else:
            _report(delivery)
    metrics.count_messages(deliveries)
    return done


def store_deliveries(deliveries: Sequence[Delivery]) -> None:
    """Store what files say that were read; what fails is noted in its file, and in the ledger."""
    entries = _entries(deliveries)
    _store_together_or_apart(entries)
    _record_failures(deliveries)
    metrics.count_files(entries)


def _entries(deliveries: Sequence[Delivery]) -> list[Entry]:
    """Give each file once, with the first message that announced it."""
    files: dict[int, Entry] = {}
    for delivery in deliveries:
        for file in delivery.files:
            files.setdefault(id(file), Entry(file, delivery.message))
    return list(files.values())


def _store_together_or_apart(entries: Sequence[Entry]) -> None:
    """Store all files at once or, if that fails, each for itself: so one can not hinder others.

    A database that is away is no fault of a file: raises its error (decision 44).
    """
    whole = [entry for entry in entries if entry.file.problem is None]
    if not whole:
        return
    try:
        _store(whole)
    except Exception as error:
        if postgres.is_away(error):
            raise
        if len(whole) == 1:
            whole[0].file.problem = error
            whole[0].file.outcome = IngestObject.Outcome.REJECTED
            return
        logger.warning("A batch of %s files failed and is taken apart: %r", len(whole), error)
        for entry in whole:
            _store_together_or_apart([entry])


def _store(entries: Sequence[Entry]) -> None:
    accounts = _admit(entries)
    lookup = look_up([entry.admitted for entry in entries])
    _record_refusals(lookup)
    store_entries(entries, lookup, user_ids={account.user_id for account in accounts})


def _admit(entries: Sequence[Entry]) -> set[Account]:
    """See what is for us; gives the accounts concerned."""
    logs = [(entry, entry.file.log) for entry in entries if entry.file.log]
    accounts = load_accounts(account_id for _, log in logs for account_id in log.account_ids)
    concerned: set[Account] = set()
    for entry, log in logs:
        entry.admitted = admit(log, accounts)
        concerned |= entry.admitted.accounts
    return concerned


def _record_refusals(lookup: Lookup) -> None:
    """Record the questions that AWS did not answer, whatever becomes of the rest (09 P4)."""
    refused = [run for run in lookup.runs if run.outcome != DescribeRun.Outcome.OK]
    DescribeRun.objects.bulk_create(refused)
    lookup.runs = [run for run in lookup.runs if run.outcome == DescribeRun.Outcome.OK]


def _record_failures(deliveries: Sequence[Delivery]) -> None:
    failed = [
        Entry(file, delivery.message)
        for delivery in deliveries
        for file in delivery.files
        if file.problem and file.outcome
    ]
    try:
        with transaction.atomic():
            ledger.save_objects(failed)
    except Exception:
        logger.exception("Could not record %s files that failed", len(failed))


def _report(delivery: Delivery) -> None:
    """Say why a message stays on the queue, and whether this was its last chance."""
    message = delivery.message
    last = message.receives >= settings.AWS_SQS_MAX_RECEIVE_COUNT
    after = "goes to the dead letter queue" if last else "stays on the queue"
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
                file.announced,
                file.problem,
            )
