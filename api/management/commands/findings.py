"""Shows what is wrong in how a customer's RHEL is paid (spec 11 §2, 12 §3)."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from api.billing.findings import FindingsQuery, findings
from api.management.base import OperatorCommand, refusal
from api.management.customers import add_customer, find_customer
from api.management.tables import Column
from api.management.values import day
from api.models import BillingFinding
from util import clock

ROWS_AT_ONCE = 1_000
COLUMNS = (
    Column("kind", "kind", 22),
    Column("confidence", "confidence", 10),
    Column("instance", "instance", 22),
    Column("cloud_account_id", "account", 8),
    Column("from", "from", 20),
    Column("until", "until", 20),
    Column("seconds", "seconds", 9),
    Column("evidence", "evidence"),
)


class Command(OperatorCommand):
    """Shows findings: a table, or JSON lines."""

    help = "Show instances of a customer whose RHEL is paid twice, or by nobody."
    json_when_piped = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer, days and kind be chosen."""
        add_customer(parser)
        parser.add_argument("--since", type=day, help="first UTC day, default yesterday")
        parser.add_argument("--until", type=day, help="UTC day after the last, default tomorrow")
        parser.add_argument("--kind", choices=BillingFinding.Kind.values, help="only this kind")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show. Raises CommandError, exit code 2, for a customer or days that make no sense."""
        user = find_customer(options)
        today = clock.today()
        since = options["since"] or today - timedelta(days=1)
        until = options["until"] or today + timedelta(days=1)
        if until <= since:
            raise refusal(f"--until {until} is not after --since {since}.")
        window = FindingsQuery(user.id, _midnight(since), _midnight(until), clock.now())
        rows = _read(window, options["kind"])
        count = self.tell_rows(rows if self.wants_json else map(_columns, rows), COLUMNS)
        self.say(f"{count} findings from {since} to {until}.")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _read(window: FindingsQuery, kind: str | None) -> Iterator[dict[str, Any]]:
    """Yield all findings. ``window`` has a fixed now, so that pages fit together."""
    condition, values = ("AND finding.kind = %s", [kind]) if kind else ("", [])
    total, first = findings(window, condition=condition, values=values, limit=ROWS_AT_ONCE)
    yield from first
    for offset in range(ROWS_AT_ONCE, total, ROWS_AT_ONCE):
        yield from findings(
            window, condition=condition, values=values, limit=ROWS_AT_ONCE, offset=offset
        )[1]


def _columns(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **finding,
        "instance": finding["instance"]["cloud_id"],
        "evidence": ", ".join(f"{one['name']} {one['value']}" for one in finding["evidence"]),
    }
