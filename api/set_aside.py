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
from django.db.models import Count, QuerySet
from django.db.models.functions import Now

from api.models import SetAsideTask
from api.outbox import TaskLink
from api.sources.inbox import INBOX_ID_HEADER
from util import task_starts
from util.redaction import redact_all
from util.tasks import plain

logger = logging.getLogger(__name__)

LONGEST_ARGUMENTS = 2000
"""Characters of a task's arguments that are shown."""


def work_of(request: Context) -> str | None:
    """Name the work that a task's request is for; None for what counts lost workers itself."""
    headers = request.headers or {}
    if INBOX_ID_HEADER in headers:
        return None
    link = TaskLink.of(headers)
    return f"outbox-{link.task_id}" if link else request.id


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
