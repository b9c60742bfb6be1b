"""Work on stored messages: one customer's strictly in order and one at a time (decision 27).

A worker leases the customer's first unfinished message, unless another one of theirs is leased,
and keeps the lease while it works. Leases and due times go by PostgreSQL's clock (decision 41).

A message may queue *child tasks*, which carry its work on: it counts as processed, and the
customer's next message gets its turn, when the last of them has ended. A child task that is lost
is queued again by working on the message once more, which is harmless: all that is done for a
message is idempotent.
"""

import datetime
import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from api.models import InboxMessage
from api.models.inbox import UNFINISHED
from api.sources.client import SourcesMissingError, SourcesRefusedError
from api.sources.customers import QUEUES
from api.sources.inbox import CHILD_TASK_HEADER, INBOX_ID_HEADER, State, publish_later
from util import stored_work
from util.locks import advisory_key
from util.task_starts import MOST_LOST
from util.tasks import (
    MAX_BACKOFF,
    MAX_RETRIES,
    enqueue,
    publishing_must_succeed,
    seconds_asked_for,
)
from util.time_limit import TimeLimitReached

logger = logging.getLogger(__name__)

BROKER_PAUSE_SECONDS = 5
"""How long a message rests whose child tasks the broker did not take."""

TURN_SECONDS = 60
"""How long one task goes on taking up a customer's next message."""

LOST_WORKER_ATTEMPTS = (MAX_RETRIES + 1) // MOST_LOST
"""As how many attempts one counts that its worker did not survive: three are too many (43)."""

REASON_LENGTH = 1000

# Both statements go to PostgreSQL together, which makes one transaction of them and looks at the
# messages only once the queue's lock is held. By then the moment at which they came is past, so
# times are those of the clock. A message that an operator has revived may come before one that is
# being worked on.
_CLAIM_FIRST = """
SELECT pg_advisory_xact_lock(%(lock)s);
UPDATE api_inboxmessage
SET state = 'working', lease_token = %(token)s, lease_until = clock_timestamp() + %(lease)s,
    attempts = attempts + CASE WHEN state = 'working' THEN %(lost_worker)s ELSE 0 END
WHERE id = (
        SELECT min(id) FROM api_inboxmessage
        WHERE customer_key = %(customer_key)s
          AND state IN ('waiting', 'working', 'handed_on', 'failed'))
  AND customer_key = %(customer_key)s
  AND state IN ('waiting', 'working', 'handed_on', 'failed')
  AND not_before <= clock_timestamp()
  AND NOT EXISTS (
        SELECT FROM api_inboxmessage
        WHERE customer_key = %(customer_key)s
          AND state IN ('waiting', 'working', 'handed_on', 'failed')
          AND lease_until >= clock_timestamp())
RETURNING *
"""

_CLAIM_CHILD_TASK = """
UPDATE api_inboxmessage
SET state = 'working', lease_token = %(token)s, lease_until = statement_timestamp() + %(lease)s
WHERE id = %(id)s AND state = 'handed_on' AND follow_ups @> to_jsonb(%(name)s::text)
RETURNING *
"""


@dataclass(frozen=True, slots=True)
class ChildTask:
    """A task that carries on a message's work.

    ``name`` tells it from the message's other child tasks, and is the same when the message is
    worked on again. ``headers`` go into the Celery message.
    """

    name: str
    task: str
    args: tuple[Any, ...]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageOutcome:
    """What came of a message, in words for operators, and the tasks that carry it on."""

    summary: str
    child_tasks: Sequence[ChildTask] = ()


class BusyError(Exception):
    """Another worker is at the message; the child task has to wait for its turn."""


class StepAsideError(Exception):
    """A child task failed, and is repeated after so many seconds, behind the message's others."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


Handle = Callable[[InboxMessage], MessageOutcome]
GiveUp = Callable[[InboxMessage, Exception | None], None]


def work_for_customer_of(inbox_id: int, *, handle: Handle, give_up: GiveUp) -> bool:
    """Work on the messages of the customer who sent this one, as long as any is ready.

    ``handle`` does a message's work; ``give_up`` is called for one that failed for good, with the
    last error if there is one. Returns whether nothing had to be done because another worker is at
    the customer's messages.
    """
    unfinished = InboxMessage.objects.filter(id=inbox_id, state__in=UNFINISHED)
    queue = unfinished.values_list("customer_key", flat=True).first()
    if queue is None:
        logger.debug("Message %s of the inbox is done with", inbox_id)
        return False
    return _work_for_customer(inbox_id, queue, handle, give_up)


def work_on_child_task(
    inbox_id: int, name: str, *, work: Handle, handle: Handle, give_up: GiveUp
) -> None:
    """Do a child task's work, then go on with the customer's next messages.

    Raises ``BusyError`` if another worker is at the message, ``StepAsideError`` if the work failed
    while the message has other child tasks, which need not fail with it. A child task whose message
    needs it no more is left out.
    """
    message = _claim(_CLAIM_CHILD_TASK, id=inbox_id, name=name)
    if message is None:
        if _is_busy(inbox_id):
            raise BusyError
        logger.info("Message %s of the inbox does not need %s any more", inbox_id, name)
        return
    rest = [other for other in message.child_tasks if other != name]
    _work_on(message, work, give_up, rest)
    if not rest:
        _work_for_customer(inbox_id, message.customer_key, handle, give_up)


def _work_for_customer(inbox_id: int, queue: str, handle: Handle, give_up: GiveUp) -> bool:
    stop_at = time.monotonic() + TURN_SECONDS
    worked = False
    while time.monotonic() < stop_at:
        message = _claim_first(inbox_id, queue)
        if message is None:
            return not worked and _someone_works_for(_queue_of(inbox_id))
        if message.attempts > MAX_RETRIES:
            _bury(message, None, give_up)
        else:
            _work_on(message, handle, give_up, [])
        queue, worked = message.customer_key, True
    _pass_on(_queue_of(inbox_id))
    return False


def _queue_of(inbox_id: int) -> str:
    """Return the queue that a message is in now: the listener may join it with another one."""
    return InboxMessage.objects.values_list("customer_key", flat=True).get(id=inbox_id)


def _claim_first(inbox_id: int, queue: str) -> InboxMessage | None:
    """Lease the first message of a customer; None if it is not ready, or one is leased already.

    ``queue`` is the queue in which the customer's message was seen last. Whoever moves messages to
    another one leaves nothing behind to be claimed, so only then it is asked for again.
    """
    while True:
        message = _claim(
            _CLAIM_FIRST,
            lock=advisory_key(QUEUES, queue),
            customer_key=queue,
            lost_worker=LOST_WORKER_ATTEMPTS,
        )
        if message is not None:
            return message
        seen, queue = queue, _queue_of(inbox_id)
        if queue == seen:
            return None


def _claim(statement: str, **parameters: Any) -> InboxMessage | None:
    lease = datetime.timedelta(seconds=settings.INBOX_LEASE_SECONDS)
    parameters |= {"lease": lease, "token": uuid.uuid4()}
    return next(iter(InboxMessage.objects.raw(statement, parameters)), None)


def _is_busy(inbox_id: int) -> bool:
    return InboxMessage.objects.filter(id=inbox_id, state=State.WORKING).exists()


def _someone_works_for(queue: str) -> bool:
    return InboxMessage.objects.filter(
        customer_key=queue, state=State.WORKING, lease_until__gte=Now()
    ).exists()


def _pass_on(queue: str) -> None:
    """Queue a task for what is still waiting after this one's turn."""
    ready = InboxMessage.objects.filter(customer_key=queue, state__in=[State.WAITING, State.FAILED])
    message = ready.annotate(wait=F("not_before") - Now()).order_by("id").first()
    if message is not None:
        publish_later(message, seconds=message.wait.total_seconds())


def _work_on(message: InboxMessage, work: Handle, give_up: GiveUp, rest: list[str]) -> None:
    """Do the work of a leased message and write down what came of it.

    ``rest`` names child tasks of the message that have to end too. Raises ``StepAsideError`` if it
    failed beside such.
    """
    error = _attempt(message, work, rest)
    if error is None:
        return
    if rest and message.attempts < MAX_RETRIES:
        _step_aside(message, error)
    elif isinstance(error, SourcesRefusedError):
        _bury(message, error, give_up)
    else:
        _fail(message, error, give_up)


def _attempt(message: InboxMessage, work: Handle, rest: list[str]) -> Exception | None:
    """Do the work and hand its outcome on; return what it failed with."""
    try:
        with _kept_lease(message), publishing_must_succeed():
            outcome = work(message)
        _hand_on(message, outcome, rest)
    except SourcesMissingError as error:
        logger.info("%s waits: %s", message, error)
        return error
    except TimeLimitReached as reached:
        logger.exception("%s took too long", message)
        return SoftTimeLimitExceeded(*reached.args)
    except Exception as error:
        logger.exception("%s failed", message)
        return error
    return None


def _step_aside(message: InboxMessage, error: Exception) -> None:
    """Let the message's other child tasks go first. Raises ``StepAsideError``.

    If the task is lost that repeats this one, the message is worked on once more.
    """
    attempts = message.attempts + 1
    delay = _delay(attempts, error)
    _update(
        message,
        state=State.HANDED_ON,
        attempts=attempts,
        reason=_reason(error),
        lease_token=None,
        lease_until=Now() + datetime.timedelta(seconds=delay + settings.INBOX_REQUEUE_SECONDS),
        **_missing_since(error),
    )
    raise StepAsideError(delay)


def _missing_since(error: Exception) -> dict[str, Any]:
    """Return the column that tells since when nothing but a missing object was in the way."""
    is_missing = isinstance(error, SourcesMissingError)
    return {"missing_since": Coalesce("missing_since", Now()) if is_missing else None}


def _hand_on(message: InboxMessage, outcome: MessageOutcome, rest: list[str]) -> None:
    waited_for = [*rest, *(child_task.name for child_task in outcome.child_tasks)]
    if not waited_for:
        _finish(message, State.PROCESSED, reason=outcome.summary)
        return
    # Written down first: a child task may run before this function returns.
    held = _update(
        message,
        state=State.HANDED_ON,
        child_tasks=waited_for,
        reason=outcome.summary[:REASON_LENGTH],
        lease_token=None,
        lease_until=Now() + datetime.timedelta(seconds=settings.INBOX_REQUEUE_SECONDS),
    )
    if held:
        _publish_child_tasks(message, outcome.child_tasks)


def publish_unlinked(child_tasks: Sequence[ChildTask]) -> None:
    """Queue tasks that carry on the work of a message that is not stored."""
    for child_task in child_tasks:
        enqueue(child_task.task, *child_task.args, headers=child_task.headers)


def _publish_child_tasks(message: InboxMessage, child_tasks: Sequence[ChildTask]) -> None:
    try:
        with publishing_must_succeed():
            for child_task in child_tasks:
                link = {INBOX_ID_HEADER: str(message.id), CHILD_TASK_HEADER: child_task.name}
                enqueue(child_task.task, *child_task.args, headers=child_task.headers | link)
    except Exception as error:
        logger.warning("Child tasks of %s were not queued, the sweep will: %s", message, error)
        handed_on = InboxMessage.objects.filter(id=message.id, state=State.HANDED_ON)
        pause = datetime.timedelta(seconds=BROKER_PAUSE_SECONDS)
        handed_on.update(lease_until=Now(), not_before=Now() + pause, queued_at=None)


def _fail(message: InboxMessage, error: Exception, give_up: GiveUp) -> None:
    attempts = message.attempts + 1
    if attempts > MAX_RETRIES and not isinstance(error, SourcesMissingError):
        _bury(message, error, give_up)
        return
    delay = _delay(attempts, error)
    not_before = Now() + datetime.timedelta(seconds=delay)
    held = _update(
        message,
        state=State.FAILED,
        attempts=min(attempts, MAX_RETRIES),
        reason=_reason(error),
        not_before=not_before,
        child_tasks=[],
        lease_token=None,
        lease_until=None,
        **_missing_since(error),
    )
    if held:
        try:
            publish_later(message, seconds=delay)
        except Exception:
            logger.warning("%s could not be queued again; the sweep will", message, exc_info=True)


def _delay(attempts: int, error: Exception) -> float:
    """Return after how many seconds a message that failed so often is worked on again."""
    backoff = random.uniform(0, min(2 ** (attempts - 1), MAX_BACKOFF))
    if isinstance(error, SourcesMissingError):
        return min(backoff, error.seconds_left)
    return max(backoff, seconds_asked_for(error))


def _bury(message: InboxMessage, error: Exception | None, give_up: GiveUp) -> None:
    """Bury a message for good: the customer's later ones go on, an operator may revive it."""
    reason = _reason(error) if error else "its workers were lost again and again"
    logger.error("%s is given up: %s", message, reason)
    _finish(message, State.DEAD, reason=reason)
    try:
        give_up(message, error)
    except Exception:
        logger.exception("Giving up %s failed", message)


def _finish(message: InboxMessage, state: str, *, reason: str) -> None:
    _update(
        message,
        state=state,
        reason=reason[:REASON_LENGTH],
        child_tasks=[],
        finished_at=Now(),
        lease_token=None,
        lease_until=None,
    )


def _update(message: InboxMessage, **columns: Any) -> bool:
    """Change a message unless its lease was lost meanwhile; return whether it was changed."""
    mine = InboxMessage.objects.filter(id=message.id, lease_token=message.lease_token)
    held = mine.update(**columns) == 1
    if not held:
        logger.warning("%s was taken over by another worker", message)
    return held


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:REASON_LENGTH]


def _kept_lease(message: InboxMessage) -> AbstractContextManager[None]:
    """Renew the lease until the work is done."""
    mine = InboxMessage.objects.filter(id=message.id, lease_token=message.lease_token)

    def renew() -> None:
        until = Now() + datetime.timedelta(seconds=settings.INBOX_LEASE_SECONDS)
        mine.update(lease_until=until)

    return stored_work.renewed(renew, str(message))
