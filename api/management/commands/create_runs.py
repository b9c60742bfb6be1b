"""Make all runs and all usage anew from the stored events (spec 07 §10)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from api.metering import rebuild
from util.progress import progress


class Command(BaseCommand):
    """Replaces runs and usage customer by customer: nobody's usage is missing in between."""

    help = "Make all runs and concurrent usage anew from the stored events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--confirm", action="store_true", help="do not ask")
        parser.add_argument("--user", type=int, metavar="ID", help="do it for one customer only")

    def handle(self, *args: Any, confirm: bool, user: int | None = None, **options: Any) -> None:
        """Ask, unless there is nothing to lose, and do it."""
        runs, usage = rebuild.existing(user)
        if runs or usage:
            self.stdout.write(f"Found {runs} existing Runs and {usage} Concurrent Usage objects.")
            if not confirm and not self._agreed(runs, usage):
                self.stdout.write("Aborting.")
                return
        for user_id in progress(rebuild.customers(user), "Creating runs and usage"):
            rebuild.rebuild(user_id=user_id)

    def _agreed(self, runs: int, usage: int) -> bool:
        try:
            answer = input(
                f"This will destroy {runs} Runs and {usage} Concurrent Usage objects."
                " Are you SURE you want to proceed? [Y/n] "
            )
        except EOFError:
            return False
        return answer in ("y", "Y")
