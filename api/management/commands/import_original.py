"""Copies a database of the original service into ours (docs/upgrading-from-the-original.md)."""

import logging
from argparse import ArgumentParser
from typing import Any

import psycopg2
from django.core.management.base import CommandError

from api.management.base import OperatorCommand, add_dry_run, refusal
from api.metering.rebuild import customers
from api.original.copying import Report, copy_all, recalculate
from api.original.source import NotTheOriginalError, Original

logger = logging.getLogger(__name__)


class Command(OperatorCommand):
    """Copies customers, accounts, images, instances and events, then calculates runs and usage."""

    help = (
        "Copy customers, accounts, images with inspection results, instances and events from a"
        " database of the original, which is only read, and calculate runs and usage. May be"
        " repeated."
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
                for report in copy_all(original, dry_run=options["dry_run"]):
                    self._tell(report, options["dry_run"])
        except NotTheOriginalError as error:
            raise refusal(f"The database {error}.") from error
        except psycopg2.Error as error:
            raise CommandError(f"The copy broke off; start it again: {error}".strip()) from error
        if not options["dry_run"] and not options["no_recalculate"]:
            self._recalculate()

    def _recalculate(self) -> None:
        """Calculate for one customer after the other. Raises CommandError if one failed."""
        user_ids, failed = customers(), []
        for user_id in user_ids:
            try:
                recalculate(user_id=user_id)
            except Exception:
                logger.exception("Runs and usage of user %s cannot be calculated", user_id)
                failed.append(user_id)
        done = len(user_ids) - len(failed)
        self.tell(
            {"recalculated_users": done, "failed_users": failed},
            f"Runs and usage of {done} customers are calculated.",
        )
        if failed:
            raise CommandError(f"Not those of the users {', '.join(map(str, failed))}.")

    def _tell(self, report: Report, dry_run: bool) -> None:
        verb = "to be copied" if dry_run else "copied"
        lines = [
            f"{report.name}: {report.read} read, {report.copied} {verb},"
            f" {report.present} there already"
        ]
        lines += [f"  {count} left out: {why}" for why, count in report.left_out.most_common()]
        lines += [f"  {count} changed: {what}" for what, count in report.notes.most_common()]
        self.tell({**report.as_json(), "dry_run": dry_run}, "\n".join(lines))
