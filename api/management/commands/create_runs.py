"""Make all runs and all usage anew from the stored events (spec 07 §10)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from api.management.base import OperatorCommand, add_dry_run, require_known
from api.management.values import row_id
from api.metering import rebuild
from util.progress import progress

QUESTION = (
    "This will destroy {runs} Runs and {usage} Concurrent Usage objects."
    " Are you SURE you want to proceed?"
)


class Command(OperatorCommand):
    """Replaces runs and usage customer by customer: nobody's usage is missing in between."""

    help = "Make all runs and concurrent usage anew from the stored events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--confirm", action="store_true", help="do not ask")
        parser.add_argument("--user", type=row_id, metavar="ID", help="do it for one customer only")
        add_dry_run(parser)

    def handle(
        self, *args: Any, confirm: bool, dry_run: bool, user: int | None = None, **options: Any
    ) -> None:
        """Ask, unless there is nothing to lose, and do it.

        Raises CommandError if the operator does not agree, with exit code 2 for an unknown user.
        """
        users = rebuild.customers(user)
        require_known([] if user is None else [user], users, "user")
        runs, usage = rebuild.existing(user)
        found = f"Found {runs} existing Runs and {usage} Concurrent Usage objects."
        if dry_run:
            before = {"runs": runs, "usage": usage}
            if self.wants_json:
                self.tell_change("runs and usage", before, "made anew", users=len(users))
            else:
                self.tell_change(found[:-1], "there", f"made anew for {len(users)} users")
            return
        if runs or usage:
            self.say(found)
            if not confirm and not self.agrees(QUESTION.format(runs=runs, usage=usage)):
                self.say("Aborting.")
                raise CommandError("Nothing was changed.")
        for user_id in progress(users, "Creating runs and usage"):
            rebuild.rebuild(user_id=user_id)
        if self.wants_json:
            self.tell({"users": len(users), "runs_before": runs, "usage_before": usage}, "")
