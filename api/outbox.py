"""Tasks that nothing else would repeat, kept in PostgreSQL until they are done (spec 08 DR-1).

What we tell the sources service, the first look at an account, and what we take out of customers'
accounts must happen even if Redis loses the queues. There is one errand for each thing, the newest:
a newer one takes an older one's place. A sweep queues again what seems to be lost; what was queued
twice is done once.
"""

import datetime
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F
from django.db.models.functions import Now

from api.models import Errand
from util.redaction import redact
from util.tasks import enqueue, plain, publishing_must_succeed, seconds_asked_for

logger = logging.getLogger(__name__)

KEY_HEADER = "errand"
TICKET_HEADER = "errand_ticket"
"""Headers of a Celery message that tie a task to its errand."""

KEPT_DAYS = 30
"""How long it is known when an errand was done."""

QUEUED_AT_ONCE = 1000
PRUNED_AT_ONCE = 10_000
LONGEST_ERROR = 1000
"""Characters that are kept of why a task failed."""

# An errand is queued again after a minute, by default, in which nothing was heard of its task; then
# after as long as it is old, up to ten minutes. One that killed its workers waits for an operator.
_DUE = """
SELECT * FROM api_errand
WHERE done_at IS NULL
  AND statement_timestamp() - queued_at > LEAST(
        GREATEST(queued_at - issued_at, %(wait)s), interval '10 minutes')
  AND NOT EXISTS (
        SELECT FROM api_setasidetask
        WHERE work = 'errand-' || ticket::text AND released_at IS NULL)
ORDER BY queued_at
LIMIT %(limit)s
"""

# One that waits to be taken up is left alone. One that was taken up may be done with what this is
# about already, so another follows.
_SEND_UNLESS_WAITING = """
INSERT INTO api_errand (key, task, args, ticket, issued_at, queued_at, done_at)
SELECT key, %(task)s, args::jsonb, gen_random_uuid(), clock_timestamp(), clock_timestamp(), NULL
FROM unnest(%(keys)s::text[], %(args)s::text[]) AS new (key, args)
ON CONFLICT (key) DO UPDATE
SET task = EXCLUDED.task, args = EXCLUDED.args, ticket = EXCLUDED.ticket, done_at = NULL,
    issued_at = EXCLUDED.issued_at, queued_at = EXCLUDED.queued_at, attempts = 0, last_error = ''
WHERE api_errand.done_at IS NOT NULL OR api_errand.queued_at > clock_timestamp()
RETURNING key
"""

_PRUNE = """
DELETE FROM api_errand
WHERE key IN (
    SELECT key FROM api_errand WHERE done_at < statement_timestamp() - %(kept)s LIMIT %(limit)s
)
"""

_STATISTICS = """
SELECT count(*),
       coalesce(extract(epoch FROM statement_timestamp() - min(issued_at)), 0)::float
FROM api_errand
WHERE done_at IS NULL
"""


class Tie(NamedTuple):
    """What ties a task to its errand."""

    key: str
    ticket: str

    @classmethod
    def of(cls, headers: Mapping[str, Any] | None) -> "Tie | None":
        """Read the tie from the headers of a task's message; None if it has none."""
        key, ticket = (headers or {}).get(KEY_HEADER), (headers or {}).get(TICKET_HEADER)
        return cls(key, ticket) if key and ticket else None


class Statistics(NamedTuple):
    """How errands are doing; ``oldest_waiting_seconds`` is 0 when none is open."""

    open: int
    oldest_waiting_seconds: float


def send(key: str, task: str, *args: Any) -> None:
    """Have a task done, about the thing that the key names; what it replaces is not repeated.

    It is written down now and queued when the current transaction commits.
    """
    errand = Errand(key=key, task=task, args=plain(args), ticket=uuid.uuid4())
    columns = ["task", "args", "ticket", "issued_at", "queued_at", "done_at"]
    columns += ["attempts", "last_error"]
    Errand.objects.bulk_create(
        [errand], update_conflicts=True, unique_fields=["key"], update_fields=columns
    )
    _queue(errand)


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
    for errand in Errand.objects.filter(key__in=sent).order_by("key"):
        _queue(errand)
    return len(sent)


def take_up(tie: Tie | None, *, again: bool, within: float = 0) -> bool:
    """Tell whether a task is still to be done; one without an errand always is.

    It is not if it was done already, or if a newer one about the same thing was done or will be:
    then this one, if it is here ``again``, is only late. It is not taken for lost ``within`` so
    many seconds.
    """
    if tie is None:
        return True
    errand = Errand.objects.filter(key=tie.key).first()
    if errand is None:
        return True
    if str(errand.ticket) != tie.ticket:
        return not again and errand.done_at is None
    if errand.done_at is not None:
        return False
    _expect_nothing_for(tie, within)
    return True


def finish(tie: Tie | None) -> None:
    """Write down that an errand was done, unless a newer one has taken its place."""
    if tie is not None:
        Errand.objects.filter(key=tie.key, ticket=tie.ticket).update(done_at=Now())


@contextmanager
def carry_out(
    request: Any, *, within: float = 0, final: tuple[type[Exception], ...] = ()
) -> Iterator[bool]:
    """Do a task's work in this block, if that is what it yields, and then its errand is done.

    ``request`` is the running task's, ``within`` the seconds that the work may take. The errand is
    done after a ``final`` error, too, which will not pass; after others it will be repeated, but
    not sooner than they ask for.
    """
    tie = Tie.of(request.headers)
    wanted = take_up(tie, again=request.retries > 0, within=within)
    try:
        with failures_noted(tie):
            yield wanted
    except final:
        finish(tie)
        raise
    except Exception as error:
        if tie is not None and (wait := seconds_asked_for(error)):
            _expect_nothing_for(tie, wait)
        raise
    if wanted:
        finish(tie)


@contextmanager
def failures_noted(tie: Tie | None) -> Iterator[None]:
    """Write down why the work in this block failed, if it does, for operators (spec 12 §2)."""
    try:
        yield
    except Exception as error:
        if tie is not None:
            _note_failure(tie, error)
        raise


def _note_failure(tie: Tie, error: Exception) -> None:
    text = redact(f"{type(error).__name__}: {error}".replace("\0", ""))[:LONGEST_ERROR]
    # A database that is away has its own signs; this is only for people.
    with suppress(DatabaseError, InterfaceError):
        Errand.objects.filter(key=tie.key, ticket=tie.ticket).update(
            attempts=F("attempts") + 1, last_error=text
        )


def last_done(key: str) -> datetime.datetime | None:
    """Tell when the errand was done; None if it is not, was long ago, or never existed."""
    return Errand.objects.filter(key=key).values_list("done_at", flat=True).first()


def queue_lost() -> int:
    """Queue errands again of which nothing was heard for a while; returns how many.

    Raises what the broker's client raises.
    """
    wait = datetime.timedelta(seconds=settings.INBOX_REQUEUE_SECONDS)
    parameters = {"wait": wait, "limit": QUEUED_AT_ONCE}
    due = list(Errand.objects.raw(_DUE, parameters))
    queued: list[str] = []
    try:
        with publishing_must_succeed():
            for errand in due:
                _queue(errand)
                queued.append(errand.key)
    finally:
        Errand.objects.filter(key__in=queued).update(queued_at=Now())
    return len(queued)


def prune() -> int:
    """Forget errands that were done long ago, a bounded number of them; returns how many."""
    kept = datetime.timedelta(days=KEPT_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, {"kept": kept, "limit": PRUNED_AT_ONCE})
        return cursor.rowcount


def statistics() -> Statistics:
    """Count the errands that are not done, and tell how long the oldest has waited."""
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS)
        return Statistics(*cursor.fetchone())


def _expect_nothing_for(tie: Tie, seconds: float) -> None:
    """Let an errand not be taken for lost for a while, since its task works, or has to wait."""
    until = Now() + datetime.timedelta(seconds=seconds)
    Errand.objects.filter(key=tie.key, ticket=tie.ticket).update(queued_at=until)


def _queue(errand: Errand) -> None:
    ties = {KEY_HEADER: errand.key, TICKET_HEADER: str(errand.ticket)}
    enqueue(errand.task, *errand.args, headers=ties)
