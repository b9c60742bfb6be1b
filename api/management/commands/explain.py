"""Says why a customer's number of one day is what it is (spec 10 §1)."""

import json
from argparse import ArgumentParser
from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.management.customers import add_customer, find_customer
from api.metering.facets import ANY, Key
from api.trust.explain import Explanation, NotCalculatedError, explain, members
from util import clock

WRONG_INPUT = 2
RUNS_AT_ONCE = 500
COLUMNS = "{:<22}  {:<20}  {:<20}  {:<14}  {:<22}  {}"


class Command(BaseCommand):
    """Shows the instances that make a day's maximum: a table, or JSON lines."""

    help = "Show which instances make a customer's maximum of one day, and why they count."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer, day and key be chosen."""
        add_customer(parser)
        parser.add_argument("--date", type=date.fromisoformat, help="UTC day, default yesterday")
        for name in Key._fields:
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, default=ANY)
        parser.add_argument("--json", action="store_true", help="write JSON lines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Explain. Raises CommandError, exit code 2, for what there is not."""
        user = find_customer(options)
        key = Key(*(options[name] for name in Key._fields))
        if ANY not in (key.arch, key.role):
            raise CommandError("--arch and --role cannot both be given", returncode=WRONG_INPUT)
        day = options["date"] or clock.today() - timedelta(days=1)
        try:
            explanation = explain(user_id=user.id, day=day, key=key)
        except NotCalculatedError as error:
            raise CommandError(f"{day} of user {user.id} is not calculated") from error
        if options["json"] or not self.stdout.isatty():
            self._write_lines(user.id, explanation)
        else:
            self._write_table(user.id, explanation)

    def _members(self, user_id: int, explanation: Explanation) -> Any:
        for first in range(0, len(explanation.run_ids), RUNS_AT_ONCE):
            yield from members(
                user_id=user_id,
                run_ids=explanation.run_ids[first : first + RUNS_AT_ONCE],
                computed_at=explanation.computed_at,
                with_sources=True,
            )

    def _write_lines(self, user_id: int, explanation: Explanation) -> None:
        self.stdout.write(json.dumps(explanation.head(), default=str))
        for member in self._members(user_id, explanation):
            self.stdout.write(json.dumps(member, default=str))

    def _write_table(self, user_id: int, explanation: Explanation) -> None:
        self.stdout.write(
            f"{len(explanation.run_ids)} at once on {explanation.day}, from {explanation.since}"
            f" until {explanation.until or 'the end of the day'};"
            f" {explanation.carried_over} of them carried over; revision {explanation.revision}"
        )
        head = ("instance", "on since", "off at", "type", "image", "why RHEL")
        self.stdout.write(COLUMNS.format(*head))
        for member in self._members(user_id, explanation):
            self.stdout.write(
                COLUMNS.format(
                    member["instance"]["cloud_id"],
                    f"{member['start_time']:%Y-%m-%dT%H:%M:%SZ}",
                    f"{member['end_time']:%Y-%m-%dT%H:%M:%SZ}" if member["end_time"] else "",
                    member["instance_type"] or "",
                    member["image"]["cloud_id"],
                    ", ".join(one["reason"] for one in member["image"]["rhel_reasons"]),
                )
            )
