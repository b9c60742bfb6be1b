"""What operators did, as a table with how far it has come."""

from collections.abc import Iterable

from django.urls import reverse

from api.console.tables import Cell, Table
from api.models import AuditEntry

_MARKS = {"failed": "bad", "refused": "bad", "cancelled": "warn"}


def actions_table(
    entries: Iterable[AuditEntry], *, name: str = "actions", title: str = "Last actions"
) -> Table:
    """Return who did what, when, from where, and the outcome; the newest first."""
    return Table(
        name=name,
        title=title,
        columns=("action", "when", "who", "from", "what", "of", "outcome", "progress", "detail"),
        rows=[
            (
                Cell(entry.id, reverse("console-action", args=[entry.id])),
                entry.created_at,
                entry.actor,
                entry.remote_address,
                entry.action,
                _target(entry),
                Cell(entry.outcome, mark=_MARKS.get(entry.outcome, "")),
                f"{entry.done} of {entry.total}" if entry.total is not None else "",
                entry.detail,
            )
            for entry in entries
        ],
        empty="Nobody did anything.",
    )


def _target(entry: AuditEntry) -> Cell:
    if entry.user_id is None:
        return Cell(entry.target)
    return Cell(entry.target, reverse("console-customer", args=[entry.user_id]))
