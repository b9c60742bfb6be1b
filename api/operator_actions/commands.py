"""Long actions that a command works on, not a task: seen and cancelled on the console, too.

A command that is killed cannot say so. Its entry is closed by whoever comes after it, or cancels
it, when it was not heard of for a quarter of an hour.
"""

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models.functions import Now

from api.models import AuditEntry
from api.operator_actions import log

Outcome = AuditEntry.Outcome

WORKED_ON_BY_COMMANDS = (AuditEntry.Action.IMPORT_ORIGINAL,)

SILENCE = timedelta(minutes=15)
BROKE_OFF = "The command broke off."


class CancelledError(Exception):
    """An operator wants the action to end, or took it for broken off."""


class Progress:
    """How far an action has come, as the console shows it."""

    def __init__(self, entry: AuditEntry) -> None:
        self.action_id = entry.id
        self._done = 0

    def expect(self, steps: int) -> None:
        """Say how many steps there are, those that are done included."""
        self._store(total=steps)

    def tell(self, text: str) -> None:
        """Say what is being done. Raises CancelledError if the action is to end."""
        self._store(detail=text[: log.DETAIL_LENGTH])
        entry = AuditEntry.objects.filter(log.OPEN, id=self.action_id)
        if not entry.filter(cancel_requested_at__isnull=True).exists():
            raise CancelledError

    def step(self, text: str) -> None:
        """Say that a step is done, and what came of it. Raises CancelledError, like ``tell``."""
        self._done += 1
        self._store(done=self._done)
        self.tell(text)

    def _store(self, **columns: object) -> None:
        rows = AuditEntry.objects.filter(log.OPEN, id=self.action_id)
        rows.update(**columns, updated_at=Now())


@contextmanager
def action_of_command(*, action: str, target: str, steps: int) -> Iterator[Progress]:
    """Write down an action of whoever runs this process, and how it ends.

    What is raised inside is its failure, and raised again; CancelledError is its cancellation.
    """
    close_broken_off()
    entry = log.begin(operator=_operator(), action=action, target=target, total=steps)
    try:
        yield Progress(entry)
    except CancelledError:
        log.finish(entry.id, Outcome.CANCELLED)
        raise
    except BaseException as error:
        # What it says may hold the address of a database, or what is stored in one.
        log.finish(entry.id, Outcome.FAILED, f"{type(error).__name__}: the command tells more.")
        raise
    log.finish(entry.id, Outcome.DONE)


def close_broken_off() -> None:
    """Close the actions of commands that are there no more, as far as one can tell."""
    silent = AuditEntry.objects.filter(
        log.OPEN, action__in=WORKED_ON_BY_COMMANDS, updated_at__lt=Now() - SILENCE
    )
    for action_id in silent.values_list("id", flat=True):
        log.finish(action_id, Outcome.FAILED, BROKE_OFF)


def _operator() -> log.Operator:
    """Return who runs this process, and where."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # Containers run under numbers that have no name.
        name = "unknown"
    return log.Operator(name=f"{name} (command)"[:200], address=socket.gethostname()[:200])
