"""Says how long a customer's RHEL was on, and how much at once (spec 11 §1, 12 §3)."""

import datetime
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from functools import partial
from typing import Any

from api.management.base import OperatorCommand, all_rows, refusal
from api.management.customers import add_customer, find_customer
from api.management.tables import Column
from api.measures.buckets import BucketsError, Granularity, buckets_between
from api.measures.question import (
    DIMENSIONS,
    MOST_DIMENSIONS,
    MOST_GROUPS,
    Question,
    TooManyGroupsError,
)
from api.measures.usage import usage
from util import clock

ROWS_AT_ONCE = 1000
COLUMNS = (
    Column("start", "from", 20),
    Column("instance_hours", "instance hours", 18),
    Column("vcpu_hours", "vCPU hours", 18),
    Column("unsized_seconds", "unsized s", 12),
    Column("peak", "peak", 6),
    Column("final", "final", 5),
)


class Command(OperatorCommand):
    """Shows hours, days or months of a customer: a table, or JSON lines."""

    help = "Show how long a customer's RHEL was on, and how much at once."
    json_when_piped = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer, time, granularity and groups be chosen."""
        add_customer(parser)
        parser.add_argument("--start", type=_moment, help="UTC date or hour, default yesterday")
        parser.add_argument("--end", type=_moment, help="UTC, excluded, default today")
        parser.add_argument(
            "--granularity", choices=[str(one) for one in Granularity], default="day"
        )
        parser.add_argument(
            "--group-by",
            type=_dimensions,
            default=(),
            help=f"up to {MOST_DIMENSIONS} of {', '.join(DIMENSIONS)}, separated by commas",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show the rows. Raises CommandError, exit code 2, for what there is not."""
        question = _question(options)
        columns = [*COLUMNS, *(Column(f"group.{name}", name) for name in question.dimensions)]
        try:
            rows = all_rows(partial(usage, question), at_once=ROWS_AT_ONCE)
            self.tell_rows(rows if self.wants_json else map(_flat, rows), columns)
        except BucketsError as error:
            raise _refused(error) from error
        except TooManyGroupsError as error:
            raise refusal(f"--group-by: There are more than {MOST_GROUPS} groups.") from error


def _question(options: dict[str, Any]) -> Question:
    user = find_customer(options)
    granularity, now = Granularity(options["granularity"]), clock.now()
    try:
        buckets = buckets_between(options["start"], options["end"], granularity, now=now)
    except BucketsError as error:
        raise _refused(error) from error
    return Question(
        user_id=user.id,
        joined=user.joined_on,
        granularity=granularity,
        buckets=buckets,
        now=now,
        dimensions=options["group_by"],
    )


def _refused(error: BucketsError) -> Exception:
    return refusal(f"--{error.parameter}: {error}")


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **{f"group.{name}": value for name, value in row["group"].items()}}


def _dimensions(value: str) -> tuple[str, ...]:
    """Read names of dimensions. Raises ArgumentTypeError for what is none, and for too many."""
    names = sorted(set(value.split(",")))
    if unknown := [name for name in names if name not in DIMENSIONS]:
        raise ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(DIMENSIONS)}")
    if len(names) > MOST_DIMENSIONS:
        raise ArgumentTypeError(f"{value!r} are more than {MOST_DIMENSIONS} dimensions")
    return tuple(names)


def _moment(value: str) -> datetime.datetime:
    """Read a date or date-time; without an offset it is UTC. Raises ArgumentTypeError."""
    try:
        moment = datetime.datetime.fromisoformat(value)
        return (
            moment.astimezone(datetime.UTC)
            if moment.tzinfo
            else moment.replace(tzinfo=datetime.UTC)
        )
    except (ValueError, OverflowError) as error:
        message = f"{value!r} is not a moment such as 2026-11-30 or 2026-11-30T05"
        raise ArgumentTypeError(message) from error
