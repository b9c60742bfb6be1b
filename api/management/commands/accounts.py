"""Shows cloud accounts: states, last event, last describe, coverage (spec 12 §2)."""

from typing import Any

from django.core.management.base import CommandParser

from api.doctor.accounts import LEGEND, AccountOverview, last_states, overview, signs
from api.management.base import OperatorCommand, add_limit, require_known
from api.management.tables import Column
from api.management.values import row_id
from util import clock

COLUMNS = (
    Column("id", "id", 8),
    Column("cloud_type", "cloud", 5),
    Column("cloud_account_number", "number", 36),
    Column("user_id", "user", 8),
    Column("org_id", "org id", 12),
    Column("state", "state", 8),
    Column("state_since", "since", 20),
    Column("last_event_at", "last event", 20),
    Column("last_describe_at", "last describe", 20),
    Column("last_describe_outcome", "outcome", 9),
    Column("coverage", "coverage of 14 days", 19),
    Column("missing_since", "source gone since"),
)
STATES = (
    Column("at", "at", 20),
    Column("from_state", "from", 9),
    Column("to_state", "to", 9),
    Column("code", "code", 8),
    Column("cause", "cause"),
)


class Command(OperatorCommand):
    """For operators."""

    help = (
        "List cloud accounts with state, last event, last describe and coverage; or one's states."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Let an account be chosen."""
        parser.add_argument("id", nargs="?", type=row_id, help="only this account, with its states")
        add_limit(parser)
        parser.add_argument(
            "--after", type=row_id, default=0, metavar="ID", help="only those with larger ids"
        )

        parser.add_argument(
            "--missing", action="store_true", help="only those whose source is gone"
        )

    def handle(self, *args: Any, id: int | None, **options: Any) -> None:
        """List. Raises CommandError, exit code 2, for an unknown account."""
        found = overview(
            today=clock.today(),
            account_id=id,
            after=options["after"],
            limit=options["limit"],
            missing=options["missing"],
        )
        require_known([] if id is None else [id], [account.id for account in found], "account")
        if id is None:
            self.tell_rows(map(self._row, found), COLUMNS)
            self.say(LEGEND)
            return
        [account] = found
        if self.wants_json:
            self.tell({**self._row(account), "states": list(last_states(id))}, "")
        else:
            self.tell_rows([self._row(account)], COLUMNS)
            self.say(f"{LEGEND}\n")
            self.tell_rows(last_states(id), STATES)

    def _row(self, account: AccountOverview) -> dict[str, Any]:
        row = account._asdict()
        return row if self.wants_json else {**row, "coverage": signs(account.coverage)}
