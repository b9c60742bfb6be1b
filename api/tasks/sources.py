"""Tasks that carry out and answer messages of the sources service (spec 03 §3, decision 27).

A task that is tied to a stored message works from the inbox, on whatever message of that customer
is next. One without such a link, started by its name, does what its arguments say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.utils.time import get_exponential_backoff_interval
from django.conf import settings

from api import outbox
from api.accounts import events
from api.accounts.missing import retry_window_of, seconds_left
from api.accounts.states import Trigger
from api.accounts.verification import WORTH_REPEATING
from api.models import InboxMessage
from api.sources import inbox, work
from api.sources.client import SourcesMissingError, SourcesUnavailableError
from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE, Tenant
from api.sources.status import send_status
from api.sources.work import BusyError, MessageOutcome, StepAsideError
from util import postgres
from util.kafka import KafkaProducerError
from util.locks import run_once
from util.tasks import LONG, MAX_BACKOFF, RetryPolicy, parse_datetime, task

RETRY = RetryPolicy(errors=(SourcesUnavailableError, *WORTH_REPEATING))
"""For tasks without a stored message; those with one are repeated by the inbox."""

BUSY_SECONDS = 2
MOST_BUSY_RETRIES = 300
SWEEP_SECONDS = 60

MISSING_SINCE_HEADER = "missing_since"
"""Header of a Celery message without a stored message: since when sources has not known a thing."""


@dataclass(frozen=True, slots=True)
class MessageLink:
    """The stored message that a task is for, and the child task of it that the task is."""

    inbox_id: int
    child_task: str | None

    @classmethod
    def of(cls, running: Task) -> "MessageLink | None":
        """Read the link of a running task; None if it has none."""
        headers = running.request.headers or {}
        inbox_id = headers.get(inbox.INBOX_ID_HEADER)
        if inbox_id is None:
            return None
        return cls(int(inbox_id), headers.get(inbox.CHILD_TASK_HEADER))


@task("api.tasks.create_from_sources_kafka_message", bind=True, retry=RETRY, limit=LONG)
def create_from_sources_kafka_message(self: Task, message: Any, headers: Any) -> None:
    """Have the account created that a customer added to one of his applications."""
    _take(self, CREATE, message, headers)


@task("api.tasks.delete_from_sources_kafka_message", bind=True, retry=RETRY, limit=LONG)
def delete_from_sources_kafka_message(self: Task, message: Any, headers: Any) -> None:
    """Delete the account that a customer removed from one of his applications."""
    _take(self, DESTROY, message, headers)


@task("api.tasks.update_from_sources_kafka_message", bind=True, retry=RETRY, limit=LONG)
def update_from_sources_kafka_message(self: Task, message: Any, headers: Any) -> None:
    """Take over what a customer changed about an authentication."""
    _take(self, UPDATE, message, headers)


@task("api.tasks.pause_from_sources_kafka_message", bind=True, retry=RETRY, limit=LONG)
def pause_from_sources_kafka_message(self: Task, message: Any, headers: Any) -> None:
    """Pause the accounts of an application."""
    _take(self, PAUSE, message, headers)


@task("api.tasks.unpause_from_sources_kafka_message", bind=True, retry=RETRY, limit=LONG)
def unpause_from_sources_kafka_message(self: Task, message: Any, headers: Any) -> None:
    """End the pause of an application's accounts."""
    _take(self, UNPAUSE, message, headers)


@task(
    "api.tasks.notify_application_availability_task",
    bind=True,
    retry=RetryPolicy(errors=(KafkaProducerError,)),
)
def notify_application_availability_task(
    self: Task,
    account_number: str | None,
    org_id: str | None,
    application_id: int | str,
    availability_status: str,
    availability_status_error: str = "",
) -> None:
    """Send a status to the sources service; a late one gives way to a newer one."""
    with outbox.run(self.request) as wanted:
        if wanted:
            send_status(
                tenant=Tenant(account_number or None, org_id or None),
                application_id=application_id,
                availability_status=availability_status,
                error=availability_status_error or "",
            )


@task("api.tasks.sweep_inbox", limit=LONG)
def sweep_inbox() -> None:
    """Queue again what seems to have been lost, and forget what was done long ago."""
    with run_once("sweep_inbox", SWEEP_SECONDS) as alone:
        if alone:
            inbox.publish_due()
            outbox.queue_lost()
            inbox.prune()
            outbox.prune()


def follow(running: Task, link: MessageLink, do: Callable[[InboxMessage], MessageOutcome]) -> None:
    """Do a child task's work once its stored message is free for it."""
    assert link.child_task is not None
    try:
        work.work_on_child_task(
            link.inbox_id,
            link.child_task,
            work=do,
            handle=events.handle_message,
            give_up=events.give_up,
        )
    except BusyError:
        raise running.retry(countdown=BUSY_SECONDS, max_retries=MOST_BUSY_RETRIES) from None
    except StepAsideError as aside:
        raise running.retry(countdown=aside.seconds, max_retries=MOST_BUSY_RETRIES) from None


def _take(running: Task, event_type: str, message: Any, headers: Any) -> None:
    link = MessageLink.of(running)
    if link is None:
        _take_untied(running, event_type, message, headers)
    elif link.child_task is None:
        _work_for_customer(running, link.inbox_id, headers)
    else:
        follow(
            running,
            link,
            lambda stored: events.handle(
                event_type=event_type,
                value=message,
                headers=headers,
                trigger=Trigger.of_message(stored),
                retry_window=retry_window_of(stored),
            ),
        )


def _take_untied(running: Task, event_type: str, message: Any, headers: Any) -> None:
    """Do what the arguments say; the task itself remembers since when something is missing."""
    now = postgres.now()
    carried = running.request.headers or {}
    since = parse_datetime(carried.get(MISSING_SINCE_HEADER)) or now
    try:
        outcome = events.handle(
            event_type=event_type,
            value=message,
            headers=headers,
            retry_window=lambda _: seconds_left((now - since).total_seconds()),
        )
    except SourcesMissingError as missing:
        raise running.retry(
            exc=missing,
            countdown=min(_backoff(running), missing.seconds_left),
            headers=carried | {MISSING_SINCE_HEADER: since.isoformat()},
        ) from missing
    work.publish_unlinked(outcome.child_tasks)


def _backoff(running: Task) -> float:
    return get_exponential_backoff_interval(
        factor=1, retries=running.request.retries, maximum=MAX_BACKOFF, full_jitter=True
    )


def _work_for_customer(running: Task, inbox_id: int, headers: Any) -> None:
    busy = work.work_for_customer_of(
        inbox_id,
        handle=lambda stored: events.handle_message(
            # The arguments hold all headers of the task's own message, the inbox a few of them.
            stored,
            headers=headers if stored.id == inbox_id else None,
        ),
        give_up=events.give_up,
    )
    if busy and (running.request.delivery_info or {}).get("redelivered"):
        # The worker that had this task was lost, and probably it holds the lease.
        raise running.retry(
            countdown=settings.INBOX_LEASE_SECONDS + 1, max_retries=MOST_BUSY_RETRIES
        )
