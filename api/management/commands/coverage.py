"""Shows how far the days of accounts can be trusted (spec 10 §2, spec 12 §2)."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any

from api.coverage.listing import coverage_days
from api.management.base import OperatorCommand, all_rows, refusal, require_known
from api.management.customers import add_customer, find_customer
from api.management.tables import Column
from api.management.values import day, row_id
from api.models import CloudAccount, CoverageDay
from util import clock

ONE_DAY = timedelta(days=1)
DAYS_OF_A_CUSTOMER = 14
ROWS_AT_ONCE = 5000
COLUMNS = (
    Column("date", "day", 10),
    Column("cloud_account_id", "account", 8),
    Column("cloud_type", "cloud", 5),
    Column("state", "state", 9),
    Column("metered_seconds", "metered", 7),
    Column("log_files", "logs", 5),
    Column("describes", "describes ok/failed", 19),
    Column("gaps", "gaps"),
)


class Command(OperatorCommand):
    """Shows the coverage of a customer's accounts, or of all: a table, or JSON lines."""

    help = "Show how far the days of accounts can be trusted, and where the gaps are."
    json_when_piped = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer, account, days and state be chosen."""
        add_customer(parser, required=False)
        parser.add_argument("--account", type=row_id, help="the id of the account's row")
        parser.add_argument("--state", choices=CoverageDay.State.values, help="only days like that")
        parser.add_argument(
            "--since",
            "--from",
            type=day,
            help="first UTC day; by default two weeks of a customer or account, else yesterday",
        )
        parser.add_argument("--until", "--to", type=day, help="last UTC day, default today")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show. Raises CommandError, exit code 2, for what there is not."""
        is_named = options["org_id"] is not None or options["user_id"] is not None
        user_id = find_customer(options).id if is_named else None
        account_id = options["account"]
        if account_id is not None:
            require_known([account_id], _accounts(user_id, account_id), "account")
        until = options["until"] or clock.today()
        back = DAYS_OF_A_CUSTOMER if is_named or account_id is not None else 1
        since = options["since"] or min(clock.today() - back * ONE_DAY, until)
        if since > until:
            raise refusal("--since must not be after --until.")
        read = partial(
            coverage_days,
            user_id=user_id,
            account_ids=None if account_id is None else [account_id],
            first_day=since,
            end=until + ONE_DAY,
            state=options["state"],
        )
        rows = all_rows(read, at_once=ROWS_AT_ONCE)
        self.tell_rows(rows if self.wants_json else map(_columns, rows), COLUMNS)


def _accounts(user_id: int | None, account_id: int) -> Iterator[int]:
    accounts = CloudAccount.objects.filter(id=account_id)
    if user_id is not None:
        accounts = accounts.filter(user_id=user_id)
    yield from accounts.values_list("id", flat=True)


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "describes": f"{row['describes_ok']}/{row['describes_failed']}",
        "gaps": ", ".join(
            f"{gap['reason']} {gap['from'][11:19]}-{_end(gap['to'], row['date'])}"
            for gap in row["gaps"]
        ),
    }


def _end(moment: str, day: date) -> str:
    """Write the end of a gap, which may be the midnight after its day."""
    return moment[11:19] if moment[:10] == str(day) else "24:00:00"
