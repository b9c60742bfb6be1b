"""Partitions events or runs by month, and moves months of events out and in (spec 15 §2)."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from api.management.base import OperatorCommand, refusal
from api.management.tables import Column
from api.partitions import plan
from api.partitions.archive import attach, detach
from api.partitions.catalog import PartitionsError
from api.partitions.months import Month
from api.partitions.partitioning import abandon, partition
from api.partitions.tables import EVENTS, TABLES, PartitionedTable

COLUMNS = (
    Column("month", "month", 7),
    Column("rows", "rows", 14),
    Column("bytes", "bytes", 16),
    Column("partition", "partition"),
)


class Command(OperatorCommand):
    """For operators; each run goes on where an earlier one was interrupted."""

    help = "Partition events or runs by month, or move a month of events to a file and back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Demand one of the things that it does."""
        group = parser.add_mutually_exclusive_group(required=True)
        group.add_argument("--plan", action="store_true", help="show what --confirm would do")
        group.add_argument(
            "--confirm",
            action="store_true",
            help="partition the table, or add the partitions of the months to come",
        )
        group.add_argument(
            "--abandon", action="store_true", help="give up what --confirm has not finished"
        )
        group.add_argument(
            "--detach", type=_month, metavar="YYYY-MM", help="move a month to a file"
        )
        group.add_argument("--attach", type=Path, metavar="FILE", help="read such a file back")
        parser.add_argument(
            "--table",
            choices=list(TABLES),
            default=EVENTS.rows,
            help="events by when they occurred (default), or runs by when they ended",
        )
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="for --detach: gzipped CSV, by default events-YYYY-MM.csv.gz; Parquet if the"
            " name ends with .parquet",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. Raises CommandError, exit code 2, for what makes no sense or would lose rows."""
        if options["output"] and not options["detach"]:
            raise refusal("--output goes with --detach.")
        table = TABLES[options["table"]]
        if table != EVENTS and (options["detach"] or options["attach"]):
            raise refusal("Only months of events can be moved to a file and back.")
        try:
            self._do(table, options)
        except PartitionsError as error:
            raise refusal(str(error)) from error
        except OSError as error:
            raise refusal(f"The file cannot be used: {error}") from error

    def _do(self, table: PartitionedTable, options: dict[str, Any]) -> None:
        if options["plan"]:
            self._plan(table)
        elif options["confirm"]:
            partition(table, lambda step: self.tell({"done": step}, step))
            self.tell({"partitioned": True}, f"The table of {table.rows} is partitioned.")
        elif options["abandon"]:
            abandon(table)
            self.tell({"abandoned": True}, "The twin is gone.")
        elif options["detach"]:
            self._detach(options["detach"], options["output"])
        else:
            month, count = attach(options["attach"])
            text = f"{count} events of {month} are attached."
            self.tell({"month": str(month), "rows": count}, text)

    def _plan(self, table: PartitionedTable) -> None:
        self.tell_rows(plan.months(table), COLUMNS)
        for step in plan.steps(table):
            self.tell(step._asdict(), f"- {step.step} (locks: {step.locks})")
        for obstacle in plan.obstacles(table):
            self.tell({"obstacle": obstacle}, f"In the way: {obstacle}")

    def _detach(self, month: Month, path: Path | None) -> None:
        path = path or Path(f"events-{month}.csv.gz")
        count = detach(month, path)
        done = {"month": str(month), "rows": count, "file": str(path)}
        self.tell(done, f"{count} events of {month} are in {path}.")


def _month(value: str) -> Month:
    try:
        return Month.parse(value)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
