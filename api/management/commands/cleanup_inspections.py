"""Removes what inspections left behind in AWS."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from api.inspection.cleanup import Leftover, find_leftovers, remove
from api.management.base import OperatorCommand, add_dry_run
from api.management.tables import Column
from util import clock

COLUMNS = (
    Column("kind", "kind", 8),
    Column("id", "id", 22),
    Column("image", "image", 22),
    Column("age_seconds", "age (s)", 10),
    Column("removed", "removed"),
)


class Command(OperatorCommand):
    """For operators."""

    help = "Remove shares, snapshots, instances and volumes that inspections left behind."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let it be tried out."""
        add_dry_run(parser)

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        """Show and remove. Raises CommandError if something cannot be removed."""
        found = list(find_leftovers())
        if dry_run:
            for leftover in found:
                thing = f"{leftover.kind} {leftover.id}"
                self.tell_change(thing, "present", "removed", **_columns(leftover))
            self.say(f"{len(found)} leftovers, 0 removed.")
            return
        removed = 0
        rows = []
        for leftover in found:
            done = remove(leftover)
            removed += done
            rows.append({**_columns(leftover), "removed": done})
        self.tell_rows(rows, COLUMNS)
        self.say(f"{len(found)} leftovers, {removed} removed.")
        if removed < len(found):
            raise CommandError(f"{len(found) - removed} leftovers remain; the log says why.")


def _columns(leftover: Leftover) -> dict[str, Any]:
    age = (clock.now() - leftover.since).total_seconds()
    return {
        "kind": leftover.kind,
        "id": leftover.id,
        "image": leftover.ami_id,
        "age_seconds": round(age),
    }
