"""Lists what describes found that no event had told a customer's instances of (spec 10 §3.1)."""

from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from api.management.base import OperatorCommand, all_rows, refusal
from api.management.customers import add_customer, find_customer
from api.management.tables import Column
from api.management.values import day
from api.trust.corrections import corrections
from util import clock

ROWS_AT_ONCE = 500
COLUMNS = (
    Column("at", "at", 20),
    Column("kind", "kind", 12),
    Column("instance", "instance", 22),
    Column("believed", "believed", 8),
    Column("seen", "seen", 12),
    Column("unsure_from", "unsure from", 20),
    Column("explained", "explained by", 12),
    Column("days", "days changed"),
)


class Command(OperatorCommand):
    """Shows corrections, newest first: a table, or JSON lines."""

    help = "Show where describes contradicted what events had told of a customer's instances."
    json_when_piped = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer and days be chosen."""
        add_customer(parser)
        parser.add_argument("--since", type=day, help="first UTC day, default yesterday")
        parser.add_argument("--until", type=day, help="last UTC day, default today")

    def handle(self, *args: Any, **options: Any) -> None:
        """List. Raises CommandError, exit code 2, for what there is not."""
        user = find_customer(options)
        since = options["since"] or clock.today() - timedelta(days=1)
        until = options["until"] or clock.today()
        if until < since:
            raise refusal("The last day is before the first one.")
        end = until + timedelta(days=1)
        read = partial(corrections, user_id=user.id, first_day=since, end=end)
        rows = all_rows(read, at_once=ROWS_AT_ONCE)
        self.tell_rows(rows if self.wants_json else map(_columns, rows), COLUMNS)


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    explanation = row["explained_by"]
    return {
        **row,
        "instance": row["instance"]["cloud_id"],
        "explained": explanation["event_id"] if explanation else None,
        "days": ", ".join(
            f"{one['date']} {one['before']} -> {one['after']}" for one in row["days_changed"]
        ),
    }
