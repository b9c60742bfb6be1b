"""Tasks that killed their process three times: stored, shown, and released (decision 43).

An outbox entry is known by its task id, whichever message carries it. Stored messages
of the sources service count their lost workers themselves, and are dead after as many
(``api.sources.work``).
"""

import json
import logging
from collections.abc import Iterable
from typing import Any

from celery import Task, current_app
from celery.app.task import Context
from django.db.models import Case, Count, Exists, OuterRef, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Concat, Now

from api import outbox
from api.models import OutboxEntry, SetAsideTask
from api.outbox import TaskLink
from api.sources.inbox import INBOX_ID_HEADER
from util import task_starts
from util.redaction import redact_all
from util.tasks import plain

logger = logging.getLogger(__name__)

WAITING, SET_ASIDE, DONE = "waiting", "set_aside", "done"
OUTBOX_STATES = (WAITING, SET_ASIDE, DONE)

_OUTBOX_WORK = "outbox-"
"""Before an outbox entry's task id, in the name of its work; SQL of others says it, too."""

LONGEST_ARGUMENTS = 2000
"""Characters of a task's arguments that are shown."""


def work_of(request: Context) -> str | None:
    """Name the work that a task's request is for; None for what counts lost workers itself."""
    headers = request.headers or {}
    if INBOX_ID_HEADER in headers:
        return None
    link = TaskLink.of(headers)
    return f"{_OUTBOX_WORK}{link.task_id}" if link else request.id


def keep(task: Task, work: str, lost_processes: int) -> None:
    """Store a running task, so that an operator can have it queued again.

    Raises what the database raises.
    """
    message = plain(dict(task.signature_from_request(expires=None)))
    columns = {
        "task_id": task.request.id,
        "name": task.name,
        "arguments": _shown(message),
        "message": message,
        "lost_processes": lost_processes,
        "updated_at": Now(),
        "released_at": None,
    }
    SetAsideTask.objects.update_or_create(work=work, defaults=columns)
    logger.error(
        "Task %s[%s] took %s processes with it and is set aside",
        task.name,
        task.request.id,
        lost_processes,
    )


def _shown(message: dict[str, Any]) -> str:
    """Return the arguments of a message as text, without what is secret."""
    shown = {"args": message["args"], "kwargs": message["kwargs"]}
    return json.dumps(redact_all(shown))[:LONGEST_ARGUMENTS]


def waiting() -> QuerySet[SetAsideTask]:
    """Return the tasks that wait for an operator, the oldest first."""
    return SetAsideTask.objects.filter(released_at=None).defer("message").order_by("id")


def outbox_entries() -> QuerySet[OutboxEntry]:
    """Return the outbox, each entry with its ``state``: waiting, set aside, or done."""
    work = Concat(Value(_OUTBOX_WORK), Cast(OuterRef("task_id"), TextField()))
    waits = SetAsideTask.objects.filter(work=work, released_at=None)
    state = Case(
        When(done_at__isnull=False, then=Value(DONE)),
        When(Exists(waits), then=Value(SET_ASIDE)),
        default=Value(WAITING),
        output_field=TextField(),
    )
    return OutboxEntry.objects.annotate(state=state)


def retry_outbox(entries: Iterable[OutboxEntry]) -> int:
    """Queue outbox entries again, also those that were set aside; return how many.

    One that is queued twice is done once. Raises what the clients of broker and Redis raise.
    """
    chosen = list(entries)
    works = [f"{_OUTBOX_WORK}{entry.task_id}" for entry in chosen]
    kept = list(SetAsideTask.objects.filter(work__in=works, released_at=None))
    release(kept)
    released = {task.work for task in kept}
    outbox.requeue(entry for entry, work in zip(chosen, works, strict=True) if work not in released)
    return len(chosen)


def count_by_name() -> dict[str, int]:
    """Return how many tasks of each name wait for an operator."""
    return dict(waiting().order_by("name").values_list("name").annotate(Count("id")))


def release(tasks: Iterable[SetAsideTask]) -> int:
    """Queue tasks again, as if they had never been begun; returns how many.

    Each is queued before it is noted that it was: one that is queued twice does no harm. Raises
    what the clients of broker and Redis raise.
    """
    released = 0
    for task in tasks:
        task_starts.forget(task.work)
        current_app.AsyncResult(task.task_id).forget()
        current_app.signature(task.message).apply_async()
        SetAsideTask.objects.filter(id=task.id).update(released_at=Now())
        logger.warning("Task %s is released and queued again", task)
        released += 1
    return released
