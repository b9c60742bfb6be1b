"""Copies a database of the original service into ours (docs/upgrading-from-the-original.md)."""

from argparse import ArgumentParser
from typing import Any

from api.management.base import OperatorCommand, add_dry_run, refusal
from api.original.copying import Report, copy_all, recalculate, users_to_recalculate
from api.original.source import NotTheOriginalError, Original


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
        if options["dry_run"] or options["no_recalculate"]:
            return
        user_ids = users_to_recalculate()
        for user_id in user_ids:
            recalculate(user_id=user_id)
        self.tell(
            {"recalculated_users": len(user_ids)},
            f"Runs and usage of {len(user_ids)} customers are calculated.",
        )

    def _tell(self, report: Report, dry_run: bool) -> None:
        verb = "to be copied" if dry_run else "copied"
        lines = [
            f"{report.name}: {report.read} read, {report.copied} {verb},"
            f" {report.present} there already"
        ]
        lines += [f"  {count} left out: {why}" for why, count in report.left_out.most_common()]
        lines += [f"  {count} changed: {what}" for what, count in report.notes.most_common()]
        self.tell({**report.as_json(), "dry_run": dry_run}, "\n".join(lines))
