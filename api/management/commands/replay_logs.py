"""Work again on CloudTrail's logs of some days (spec 08 DR-12)."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.clouds.aws.arn import normal_account_id
from api.clouds.aws.cloudtrail import replay
from util import clock


class Command(BaseCommand):
    """For operators, after the database was restored from a back-up.

    May be interrupted at any time and started again: what is stored stays, and is not repeated.
    """

    help = (
        "Ingest CloudTrail's logs from the bucket again, by the days of their delivery. Files that"
        " were worked on before are left out, and no event is ever stored twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        day = date.fromisoformat
        parser.add_argument("--since", type=day, required=True, metavar="DATE", help="first day")
        parser.add_argument("--until", type=day, metavar="DATE", help="last day; default: today")
        parser.add_argument(
            "--account",
            action="append",
            metavar="ID",
            help="only this AWS account; may be repeated",
        )
        parser.add_argument(
            "--force", action="store_true", help="also files that were worked on before"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count the files")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay day by day. Raises CommandError if files are left that could not be read."""
        since, until = options["since"], options["until"] or clock.today()
        if until < since:
            raise CommandError("The last day is before the first one.")
        logs = replay.Replay(
            self._accounts(options["account"]), force=options["force"], dry_run=options["dry_run"]
        )
        failed = 0
        for day in replay.days_between(since, until):
            report = logs.replay(day)
            failed += report.failed
            self.stdout.write(
                f"{day}: {report.found} files, {report.known} known, {report.replayed} replayed,"
                f" {report.archived} archived, {report.failed} failed, {report.left} left"
            )
        if failed:
            raise CommandError(f"{failed} files failed; run the command again.")

    def _accounts(self, wanted: list[str] | None) -> list[str]:
        known = replay.aws_account_ids()
        if wanted is None:
            return known
        ids = {normal_account_id(one) or one for one in wanted}
        if strangers := sorted(ids.difference(known)):
            raise CommandError(f"There is no account {', '.join(strangers)}.")
        return sorted(ids)
