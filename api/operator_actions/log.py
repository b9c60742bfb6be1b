"""The log of what operators did (spec 12 §1, §3), and the work on what takes long."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest, Now

from api import outbox
from api.models import AuditEntry
from api.operator_actions.steps import NothingToDoError, steps_of
from util.redaction import redact

logger = logging.getLogger(__name__)

TASK = "api.tasks.run_operator_action"

Action = AuditEntry.Action
Outcome = AuditEntry.Outcome

OPEN = Q(finished_at__isnull=True)
SECONDS_AT_ONCE = 600
"""After so long the rest of an action is left to another task."""

DETAIL_LENGTH = 2000
"""Characters of what is told of an action."""


@dataclass(frozen=True)
class Operator:
    """Who acts, from where, in which request."""

    name: str
    address: str
    request_id: str = ""


@transaction.atomic
def start(
    *,
    operator: Operator,
    action: str,
    target: str,
    user_id: int | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Write down a long action and have it worked on."""
    entry = _write(operator, action, target, user_id, arguments, Outcome.QUEUED)
    outbox.send(_key(entry.id), TASK, entry.id)
    return entry


def record(
    *,
    operator: Operator,
    action: str,
    target: str,
    outcome: str,
    user_id: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    detail: str = "",
) -> AuditEntry:
    """Write down an action that is over, or was refused."""
    return _write(operator, action, target, user_id, arguments, outcome, detail, over=True)


def begin(*, operator: Operator, action: str, target: str, total: int) -> AuditEntry:
    """Write down a long action that its caller works on, in so many steps."""
    entry = _write(operator, action, target, None, None, Outcome.RUNNING)
    AuditEntry.objects.filter(id=entry.id).update(total=total)
    return entry


def _write(
    operator: Operator,
    action: str,
    target: str,
    user_id: int | None,
    arguments: Mapping[str, Any] | None,
    outcome: str,
    detail: str = "",
    *,
    over: bool = False,
) -> AuditEntry:
    entry = AuditEntry.objects.create(
        actor=operator.name,
        remote_address=operator.address,
        request_id=operator.request_id,
        action=action,
        user_id=user_id,
        target=target[:200],
        arguments=dict(arguments or {}),
        outcome=outcome,
        detail=detail[:DETAIL_LENGTH],
        finished_at=Now() if over else None,
    )
    entry.refresh_from_db()
    logger.info(
        "Audit: action %s, %s of %s by %r from %r: %s",
        entry.id,
        action,
        entry.target,
        entry.actor,
        entry.remote_address,
        outcome,
    )
    return entry


def cancel(*, operator: Operator, action_id: int) -> bool:
    """Have an action end after the step that it is at; return whether it was going on."""
    found = AuditEntry.objects.filter(OPEN, id=action_id).update(
        cancel_requested_at=Coalesce("cancel_requested_at", Now()), updated_at=Now()
    )
    entry = AuditEntry.objects.filter(id=action_id).values_list("user_id", flat=True).first()
    record(
        operator=operator,
        action=Action.CANCEL,
        target=f"action {action_id}",
        user_id=entry,
        outcome=Outcome.DONE if found else Outcome.REFUSED,
        detail="" if found else "The action was over.",
    )
    return bool(found)


def work(action_id: int) -> bool:
    """Work on an action that is not over; return whether something is left to be done.

    May be repeated, and done by two workers at once: steps do no harm if they are repeated. What
    fails is written down and logged, not raised: an operator decides what comes next.
    """
    entry = AuditEntry.objects.filter(OPEN, id=action_id).first()
    if entry is None:
        return False
    try:
        return _work_on(entry)
    except NothingToDoError as error:
        finish(action_id, Outcome.FAILED, str(error))
    except Exception as error:
        logger.exception("Action %s (%s) failed", action_id, entry.action)
        finish(action_id, Outcome.FAILED, redact(f"{type(error).__name__}: {error}"))
    return False


def _work_on(entry: AuditEntry) -> bool:
    steps = steps_of(entry)
    rows = AuditEntry.objects.filter(OPEN, id=entry.id)
    rows.update(outcome=Outcome.RUNNING, total=len(steps), updated_at=Now())
    begun = time.monotonic()
    for number in range(entry.done, len(steps)):
        if rows.filter(cancel_requested_at__isnull=False).exists():
            finish(entry.id, Outcome.CANCELLED, f"Cancelled after {number} of {len(steps)} steps.")
            return False
        if time.monotonic() - begun > SECONDS_AT_ONCE:
            return True
        told = steps[number]()
        columns = {"detail": told[:DETAIL_LENGTH]} if told else {}
        rows.update(done=Greatest(F("done"), number + 1), updated_at=Now(), **columns)
    finish(entry.id, Outcome.DONE)
    return False


def finish(action_id: int, outcome: str, detail: str | None = None) -> None:
    """Write down how an action ended, unless it is over; without ``detail`` what was told stays."""
    columns = {} if detail is None else {"detail": detail[:DETAIL_LENGTH]}
    found = AuditEntry.objects.filter(OPEN, id=action_id).update(
        outcome=outcome, finished_at=Now(), updated_at=Now(), **columns
    )
    if found:
        logger.info("Audit: action %s: %s", action_id, outcome)


def go_on(action_id: int) -> None:
    """Queue the rest of an action."""
    outbox.send(_key(action_id), TASK, action_id)


def _key(action_id: int) -> str:
    return f"operator-action-{action_id}"
