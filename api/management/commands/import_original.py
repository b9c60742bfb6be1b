"""Copies a database of the original service into ours (docs/upgrading-from-the-original.md)."""

import logging
from argparse import ArgumentParser
from typing import Any

import psycopg2
from django.core.management.base import CommandError
from django.urls import reverse

from api.management.base import OperatorCommand, add_dry_run, refusal
from api.metering.rebuild import customers
from api.models import AuditEntry
from api.operator_actions.commands import CancelledError, Progress, action_of_command
from api.original.copying import STEPS, CopyReport, copy_all, recalculate
from api.original.queries import TABLES
from api.original.source import NotTheOriginalError, Original

logger = logging.getLogger(__name__)


class Command(OperatorCommand):
    """Copies customers, accounts, images, instances and events, then calculates runs and usage."""

    help = (
        "Copy customers, accounts, images with inspection results, instances and events from a"
        " database of the original, which is only read, and calculate runs and usage. May be"
        " repeated, and cancelled on the console."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Ask for the original's database."""
        parser.add_argument(
            "--database-url",
            required=True,
            help="the original's database: postgresql://user:password@host:port/name",
        )
        parser.add_argument(
            "--no-recalculate",
            action="store_true",
            help="leave runs and usage to the hourly passes",
        )
        add_dry_run(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Copy. Raises CommandError, exit code 2, for a database that is not the original's."""
        try:
            with Original(options["database_url"]) as original:
                if options["dry_run"]:
                    for report in copy_all(original, dry_run=True):
                        self._tell(report, dry_run=True)
                else:
                    self._import(original, recalculates=not options["no_recalculate"])
        except NotTheOriginalError as error:
            raise refusal(f"The database {error}.") from error
        except psycopg2.Error as error:
            raise CommandError(f"The copy broke off; start it again: {error}".strip()) from error
        except CancelledError as error:
            raise CommandError("Cancelled by an operator; start it again to go on.") from error

    def _import(self, original: Original, *, recalculates: bool) -> None:
        """Copy and calculate, as an action that the console shows (spec 12 §1)."""
        original.require(TABLES)
        with action_of_command(
            action=AuditEntry.Action.IMPORT_ORIGINAL, target="all customers", steps=len(STEPS)
        ) as progress:
            self.say(f"Progress: {reverse('console-action', args=[progress.action_id])}")
            for report in copy_all(original, told=progress.tell):
                self._tell(report, dry_run=False)
                progress.step(f"{report.name}: {report.copied} copied")
            original.close()
            if recalculates:
                self._recalculate(progress)

    def _recalculate(self, progress: Progress) -> None:
        """Calculate for one customer after the other. Raises CommandError if one failed."""
        user_ids, failed = customers(), []
        progress.expect(len(STEPS) + len(user_ids))
        for user_id in user_ids:
            try:
                recalculate(user_id=user_id)
            except Exception:
                logger.exception("Runs and usage of user %s cannot be calculated", user_id)
                failed.append(user_id)
            progress.step(f"user {user_id}: calculated")
        done = len(user_ids) - len(failed)
        self.tell(
            {"recalculated_users": done, "failed_users": failed},
            f"Runs and usage of {done} customers are calculated.",
        )
        if failed:
            raise CommandError(f"Not those of the users {', '.join(map(str, failed))}.")

    def _tell(self, report: CopyReport, dry_run: bool) -> None:
        verb = "to be copied" if dry_run else "copied"
        lines = [
            f"{report.name}: {report.read} read, {report.copied} {verb},"
            f" {report.present} there already"
        ]
        lines += [f"  {count} left out: {why}" for why, count in report.left_out.most_common()]
        lines += [f"  {count} changed: {what}" for what, count in report.notes.most_common()]
        self.tell({**report.as_json(), "dry_run": dry_run}, "\n".join(lines))
