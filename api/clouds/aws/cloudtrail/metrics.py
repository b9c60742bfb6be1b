"""Counters of what ingest reads, skips and fails at."""

import logging
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from prometheus_client import Histogram

from api.clouds import freshness
from api.clouds.aws.cloudtrail.filter import FileResult
from api.clouds.aws.cloudtrail.load_by_customer import CustomerBusyError
from api.clouds.aws.cloudtrail.read import Delivery
from api.clouds.aws.cloudtrail.s3_notifications import Form
from api.models import CloudType
from util import clock
from util.metrics import counter, histogram

logger = logging.getLogger(__name__)

PREFIX = "cloudigrade_cloudtrail"
OUTCOMES = ("done", "busy", "failed", "dead")
UNKNOWN_FORM = "unknown"
LOGGED_RECORDS = 10
"""Odd records of a file that the log names one by one."""


def count_messages(deliveries: Sequence[Delivery]) -> None:
    """Count the messages of a batch that has been worked on."""
    messages = counter(f"{PREFIX}_messages", "messages taken from the queue", ("outcome",))
    outcomes = Counter(map(_outcome, deliveries))
    for outcome in OUTCOMES:
        messages.labels(outcome).inc(outcomes[outcome])
    notifications = counter(f"{PREFIX}_notifications", "messages by their form", ("form",))
    forms = Counter(delivery.form or UNKNOWN_FORM for delivery in deliveries)
    for form in (*Form, UNKNOWN_FORM):
        notifications.labels(str(form)).inc(forms[form])


def _outcome(delivery: Delivery) -> str:
    if delivery.trouble is None:
        return "done"
    if isinstance(delivery.trouble, CustomerBusyError):
        return "busy"
    last = delivery.message.receives >= settings.AWS_SQS_MAX_RECEIVE_COUNT
    return "dead" if last else "failed"


def count_files(file_results: Sequence[FileResult]) -> None:
    """Count the files of a batch and what is in them, and name the records that were odd."""
    for file_result in file_results:
        _count_file(file_result)


def _count_file(file_result: FileResult) -> None:
    file, relevant = file_result.file, file_result.relevant
    failure = "busy" if isinstance(file.problem, CustomerBusyError) else "failed"
    outcome = str(file.skip or (failure if file.problem else file.outcome))
    counter(f"{PREFIX}_files", "notified files", ("outcome",)).labels(outcome).inc()
    if file.log is None or file.problem:
        return
    records = counter(f"{PREFIX}_records", "records of log files", ("outcome",))
    records.labels("relevant").inc(relevant.relevant_count)
    for reason, number in relevant.skipped.items():
        records.labels(str(reason)).inc(number)
    counter(f"{PREFIX}_events", "events stored").inc(file_result.stored)
    for record_index in file.log.malformed[:LOGGED_RECORDS]:
        logger.warning("Record %s of %s is malformed and skipped", record_index, file.notified)
    for record_index in file.log.omitted[:LOGGED_RECORDS]:
        logger.warning(
            "Record %s of %s is skipped: CloudTrail omitted it", record_index, file.notified
        )
    incomplete = counter(f"{PREFIX}_incomplete_records", "records that name too few instances")
    incomplete.inc(len(file.log.incomplete))
    for record_index in file.log.incomplete[:LOGGED_RECORDS]:
        logger.warning(
            "Record %s of %s names only some of its instances", record_index, file.notified
        )
    _observe_times(file_result)


def _observe_times(file_result: FileResult) -> None:
    """Observe how old the file's oldest event is, and how long its message waited."""
    now = clock.now()
    if file_result.message.sent_at:
        freshness.QUEUE_WAIT.observe(max((now - file_result.message.sent_at).total_seconds(), 0))
    if times := file_result.event_times:
        age = (now - min(times)).total_seconds()
        _lag().observe(age)
        freshness.EVENT_AGE.labels(str(CloudType.AWS)).observe(age)


def _lag() -> Histogram:
    return histogram(
        f"{PREFIX}_lag_seconds", "age of events when they are stored", buckets=freshness.SPANS
    )
