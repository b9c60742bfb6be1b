"""Work again on CloudTrail's logs of some days (spec 10 §3.2, 08 DR-12)."""

from argparse import ArgumentParser
from dataclasses import asdict, replace
from typing import Any

from django.core.management.base import CommandError

from api.clouds.aws.arn import normal_account_id
from api.clouds.aws.cloudtrail.listing import Folder
from api.clouds.aws.cloudtrail.replay import (
    ReplayReport,
    Wanted,
    aws_account_ids,
    count,
    folders,
    wanted,
)
from api.clouds.aws.cloudtrail.replay_runs import ReplayFailedError, replay, result
from api.clouds.aws.errors import AwsError
from api.clouds.provider import TransientCloudError
from api.management.base import OperatorCommand, refusal
from api.management.values import day, row_id, text


class Command(OperatorCommand):
    """For operators, after messages were lost, or the database was restored from a back-up.

    May be interrupted at any time: the same command, started again, goes on where it was.
    """

    help = (
        "Ingest CloudTrail's logs from the bucket again, by the days of their delivery. No event is"
        " ever stored twice; accounts are judged by what they were at the time of an event."
    )
    json_when_piped = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--account", type=row_id, metavar="ID", help="id of the account's row")
        which.add_argument("--aws-account", type=text, metavar="NUMBER", help="number in AWS")
        which.add_argument("--all", action="store_true", help="all accounts, as by default")
        parser.add_argument("--region", type=text, default="", help="only this region")
        parser.add_argument(
            "--since", "--from", type=day, required=True, dest="since", help="first day"
        )
        parser.add_argument(
            "--until", "--to", type=day, dest="until", help="last day; default: today"
        )
        parser.add_argument(
            "--missing-only", action="store_true", help="only files that were not processed"
        )
        parser.add_argument(
            "--restore", action="store_true", help="have archived files restored for a later run"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count the files")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay, with a line for each folder. Raises CommandError if files are left that fail."""
        asked = _wanted(options)
        try:
            if options["dry_run"]:
                self._count(asked)
            else:
                row = replay(asked, told=self._tell)
                self._tell_total(result(row), ReplayReport(**_numbers(result(row))))
        except (TransientCloudError, AwsError) as error:
            raise CommandError(f"S3 does not answer, or refuses: {error}") from error
        except ReplayFailedError as error:
            raise CommandError(f"{error}.") from error

    def _count(self, asked: Wanted) -> None:
        total = ReplayReport()
        for folder in folders(asked):
            report = count(folder, asked)
            total.add(report)
            self._tell(folder, report)
        left = total.found - total.known
        self._tell_total({**asdict(total), "would_replay": left, "dry_run": True}, total)

    def _tell(self, folder: Folder, report: ReplayReport) -> None:
        if report.found or report.no_logs:
            self.tell({"prefix": folder.prefix, **asdict(report)}, _line(folder.prefix, report))

    def _tell_total(self, shown: dict[str, Any], report: ReplayReport) -> None:
        self.tell({"total": True, **shown}, _line("In all", report))


def _wanted(options: dict[str, Any]) -> Wanted:
    names = ("region", "since", "until", "missing_only", "restore")
    try:
        found = wanted(account_id=options["account"], **{name: options[name] for name in names})
    except ValueError as error:
        raise refusal(str(error)) from error
    if options["aws_account"] is None:
        return found
    number = normal_account_id(options["aws_account"]) or options["aws_account"]
    if number not in aws_account_ids():
        raise refusal(f"There is no AWS account {number}.")
    return replace(found, aws_account_id=number)


def _numbers(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: shown[name] for name in asdict(ReplayReport())}


def _line(name: str, report: ReplayReport) -> str:
    numbers = ", ".join(f"{number} {what}" for what, number in asdict(report).items())
    return f"{name}: {numbers}"
