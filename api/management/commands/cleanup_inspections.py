"""Removes what inspections left behind in AWS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from api.inspection.cleanup import find_leftovers, remove
from util import clock

COLUMNS = "{:<8}  {:<22}  {:<22}  {:>10}  {}"


class Command(BaseCommand):
    """For operators."""

    help = "Remove shares, snapshots, instances and volumes that inspections left behind."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let it be tried out."""
        parser.add_argument(
            "--dry-run", action="store_true", help="only show what would be removed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show and remove."""
        found = list(find_leftovers())
        removed = 0
        if found:
            self.stdout.write(COLUMNS.format("kind", "id", "image", "age (s)", "removed").rstrip())
        for leftover in found:
            done = not options["dry_run"] and remove(leftover)
            removed += done
            self.stdout.write(
                COLUMNS.format(
                    leftover.kind,
                    leftover.id,
                    leftover.ami_id,
                    f"{(clock.now() - leftover.since).total_seconds():.0f}",
                    "yes" if done else "no",
                )
            )
        self.stdout.write(f"{len(found)} leftovers, {removed} removed.")
