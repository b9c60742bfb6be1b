"""Tasks that nothing else would repeat, kept in PostgreSQL until they are done (spec 08 DR-1).

What we tell the sources service, the first look at an account, and what we take out of customers'
accounts must happen even if Redis loses the queues. There is one entry for each thing, the newest:
a newer one takes an older one's place. A sweep queues again what seems to be lost; what was queued
twice is done once.
"""

import datetime
import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F
from django.db.models.functions import Now

from api.models import OutboxEntry
from util import stored_work
from util.redaction import redact
from util.tasks import enqueue, plain, seconds_asked_for

logger = logging.getLogger(__name__)

KEY_HEADER = "outbox_key"
TASK_ID_HEADER = "outbox_task_id"
"""Headers of a Celery message that link a task to its entry."""

QUEUED_AT_ONCE = 1000
LONGEST_ERROR = 1000
"""Characters that are kept of why a task failed."""

# An entry that killed its workers waits for an operator.
_DUE = f"""
SELECT * FROM api_outboxentry
WHERE done_at IS NULL
  AND {stored_work.seems_lost("queued_at", since="issued_at")}
  AND NOT EXISTS (
        SELECT FROM api_setasidetask
        WHERE work = 'outbox-' || api_outboxentry.task_id::text AND released_at IS NULL)
ORDER BY queued_at
LIMIT %(limit)s
"""  # noqa: S608 - made of constants

# One that waits to be claimed is left alone. One that was claimed, even if it failed since, may be
# done with what this is about already, so another follows.
_SEND_UNLESS_WAITING = """
INSERT INTO api_outboxentry (key, task, args, task_id, issued_at, queued_at, done_at)
SELECT key, %(task)s, args::jsonb, gen_random_uuid(), clock_timestamp(), clock_timestamp(), NULL
FROM unnest(%(keys)s::text[], %(args)s::text[]) AS new (key, args)
ON CONFLICT (key) DO UPDATE
SET task = EXCLUDED.task, args = EXCLUDED.args, task_id = EXCLUDED.task_id, done_at = NULL,
    issued_at = EXCLUDED.issued_at, queued_at = EXCLUDED.queued_at, attempts = 0, last_error = ''
WHERE api_outboxentry.done_at IS NOT NULL OR api_outboxentry.queued_at > clock_timestamp()
   OR api_outboxentry.attempts > 0
RETURNING key
"""

_STATISTICS = """
SELECT count(*),
       coalesce(extract(epoch FROM statement_timestamp() - min(issued_at)), 0)::float
FROM api_outboxentry
WHERE done_at IS NULL
"""


class TaskLink(NamedTuple):
    """The link of a task to its entry."""

    key: str
    task_id: str

    @classmethod
    def of(cls, headers: Mapping[str, Any] | None) -> "TaskLink | None":
        """Read the link from the headers of a task's message; None if it has none."""
        key, task_id = (headers or {}).get(KEY_HEADER), (headers or {}).get(TASK_ID_HEADER)
        return cls(key, task_id) if key and task_id else None


class OutboxStatistics(NamedTuple):
    """How outbox entries are doing; ``oldest_waiting_seconds`` is 0 when none is open."""

    open: int
    oldest_waiting_seconds: float


def send(key: str, task: str, *args: Any) -> None:
    """Have a task done, about the thing that the key names; what it replaces is not repeated.

    It is written down now and queued when the current transaction commits.
    """
    entry = OutboxEntry(key=key, task=task, args=plain(args), task_id=uuid.uuid4())
    columns = ["task", "args", "task_id", "issued_at", "queued_at", "done_at"]
    columns += ["attempts", "last_error"]
    OutboxEntry.objects.bulk_create(
        [entry], update_conflicts=True, unique_fields=["key"], update_fields=columns
    )
    _queue(entry)


def send_unless_waiting(task: str, args_by_key: Mapping[str, Sequence[Any]]) -> int:
    """Have a task done about each thing that a key names, unless that waits to be begun already.

    Where such a task has begun, another one follows. They are written down now, in one statement,
    and queued when the current transaction commits. Returns how many were not waiting.
    """
    keys = sorted(args_by_key)
    args = [json.dumps(plain(args_by_key[key])) for key in keys]
    with connection.cursor() as cursor:
        cursor.execute(_SEND_UNLESS_WAITING, {"task": task, "keys": keys, "args": args})
        sent = [key for (key,) in cursor.fetchall()]
    for entry in OutboxEntry.objects.filter(key__in=sent).order_by("key"):
        _queue(entry)
    return len(sent)


def claim(link: TaskLink | None, *, again: bool, within: float = 0) -> bool:
    """Return whether a task is still to be done; one without an outbox entry always is.

    It is not if it was done already, or if a newer one about the same thing was done or will be:
    then this one, if it is here ``again``, is only late. It is not taken for lost ``within`` so
    many seconds, and the time that any entry is waited for.
    """
    if link is None:
        return True
    entry = OutboxEntry.objects.filter(key=link.key).first()
    if entry is None:
        return True
    if str(entry.task_id) != link.task_id:
        return not again and entry.done_at is None
    if entry.done_at is not None:
        return False
    _expect_nothing_for(link, within)
    return True


def finish(link: TaskLink | None) -> None:
    """Write down that an outbox entry was done, unless a newer one has taken its place."""
    if link is not None:
        OutboxEntry.objects.filter(key=link.key, task_id=link.task_id).update(done_at=Now())


@contextmanager
def run(request: Any, *, final: tuple[type[Exception], ...] = ()) -> Iterator[bool]:
    """Do a task's work in this block, if that is what it yields, and then its entry is done.

    ``request`` is the running task's. While the block works the entry is not taken for lost; soon
    afterwards it is, if the worker was lost and Redis with it. The entry is done after a ``final``
    error, too, which will not pass; after others it will be repeated, but not sooner than they ask
    for.
    """
    link = TaskLink.of(request.headers)
    wanted = claim(link, again=request.retries > 0, within=settings.INBOX_LEASE_SECONDS)
    try:
        with failures_noted(link), _claim_kept(link if wanted else None):
            yield wanted
    except final:
        finish(link)
        raise
    except Exception as error:
        if link is not None and wanted:
            _expect_nothing_for(link, seconds_asked_for(error))
        raise
    if wanted:
        finish(link)


def _claim_kept(link: TaskLink | None) -> AbstractContextManager[None]:
    if link is None:
        return nullcontext()
    renew = partial(_expect_nothing_for, link, settings.INBOX_LEASE_SECONDS)
    return stored_work.renewed(renew, link.key)


@contextmanager
def failures_noted(link: TaskLink | None) -> Iterator[None]:
    """Write down why the work in this block failed, if it does, for operators (spec 12 §2)."""
    try:
        yield
    except Exception as error:
        if link is not None:
            _note_failure(link, error)
        raise


def _note_failure(link: TaskLink, error: Exception) -> None:
    text = redact(f"{type(error).__name__}: {error}".replace("\0", ""))[:LONGEST_ERROR]
    # A database that is away has its own signs; this is only for people.
    with suppress(DatabaseError, InterfaceError):
        OutboxEntry.objects.filter(key=link.key, task_id=link.task_id).update(
            attempts=F("attempts") + 1, last_error=text
        )


def last_done(key: str) -> datetime.datetime | None:
    """Return when the entry was done; None if it is not, was long ago, or never existed."""
    return OutboxEntry.objects.filter(key=key).values_list("done_at", flat=True).first()


def queue_lost() -> int:
    """Queue outbox entries again of which nothing was heard for a while; returns how many.

    Raises what the broker's client raises.
    """
    parameters = {"wait": stored_work.shortest_wait(), "limit": QUEUED_AT_ONCE}
    return requeue(list(OutboxEntry.objects.raw(_DUE, parameters)))


def requeue(entries: Iterable[OutboxEntry]) -> int:
    """Queue entries again at once; return how many. Raises what the broker's client raises."""
    with stored_work.noting_queued(OutboxEntry) as queued:
        for entry in entries:
            _queue(entry)
            queued.append(entry.key)
    return len(queued)


def prune() -> int:
    """Forget outbox entries that were done long ago, a bounded number of them; returns how many."""
    return stored_work.prune(OutboxEntry.objects.all(), "done_at")


def statistics() -> OutboxStatistics:
    """Count the outbox entries that are not done, and tell how long the oldest has waited."""
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS)
        return OutboxStatistics(*cursor.fetchone())


def _expect_nothing_for(link: TaskLink, seconds: float) -> None:
    """Do not take an entry for lost for a while, since its task works, or has to wait."""
    until = Now() + datetime.timedelta(seconds=seconds)
    OutboxEntry.objects.filter(key=link.key, task_id=link.task_id).update(queued_at=until)


def _queue(entry: OutboxEntry) -> None:
    headers = {KEY_HEADER: entry.key, TASK_ID_HEADER: str(entry.task_id)}
    enqueue(entry.task, *entry.args, headers=headers)
