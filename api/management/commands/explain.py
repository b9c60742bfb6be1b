"""Says why a customer's number of one day is what it is (spec 10 §1)."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from api.management.base import OperatorCommand, refusal
from api.management.customers import add_customer, find_customer
from api.management.tables import Column
from api.management.values import day, text
from api.metering.facets import ANY, Key
from api.trust.explain import Explanation, NotCalculatedError, explain, members
from util import clock

RUNS_AT_ONCE = 500
COLUMNS = (
    Column("instance", "instance", 22),
    Column("start_time", "on since", 20),
    Column("end_time", "off at", 20),
    Column("instance_type", "type", 14),
    Column("image", "image", 22),
    Column("reasons", "why RHEL"),
)


class Command(OperatorCommand):
    """Shows the instances that make a day's maximum: a table, or JSON lines."""

    help = "Show which instances make a customer's maximum of one day, and why they count."
    json_when_piped = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer, day and key be chosen."""
        add_customer(parser)
        parser.add_argument("--date", type=day, help="UTC day, default yesterday")
        for name in Key._fields:
            parser.add_argument(f"--{name.replace('_', '-')}", type=text, dest=name, default=ANY)

    def handle(self, *args: Any, **options: Any) -> None:
        """Explain. Raises CommandError, exit code 2, for what there is not."""
        user = find_customer(options)
        key = Key(*(options[name] for name in Key._fields))
        if ANY not in (key.arch, key.role):
            raise refusal("--arch and --role cannot both be given.")
        wanted = options["date"] or clock.today() - timedelta(days=1)
        try:
            explanation = explain(user_id=user.id, day=wanted, key=key)
        except NotCalculatedError as error:
            raise CommandError(f"{wanted} of user {user.id} is not calculated.") from error
        self.tell(explanation.head(), _summary(explanation))
        rows = _members(user.id, explanation)
        self.tell_rows(rows if self.wants_json else map(_columns, rows), COLUMNS)


def _members(user_id: int, explanation: Explanation) -> Iterator[dict[str, Any]]:
    for first in range(0, len(explanation.run_ids), RUNS_AT_ONCE):
        yield from members(
            user_id=user_id,
            run_ids=explanation.run_ids[first : first + RUNS_AT_ONCE],
            computed_at=explanation.computed_at,
            with_sources=True,
        )


def _summary(explanation: Explanation) -> str:
    return (
        f"{len(explanation.run_ids)} at once on {explanation.day}, from {explanation.since}"
        f" until {explanation.until or 'the end of the day'};"
        f" {explanation.carried_over} of them carried over; revision {explanation.revision}"
    )


def _columns(member: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **member,
        "instance": member["instance"]["cloud_id"],
        "image": member["image"]["cloud_id"],
        "reasons": ", ".join(one["reason"] for one in member["image"]["rhel_reasons"]),
    }
