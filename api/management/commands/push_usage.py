"""Sends daily usage to Kafka again, for consumers that lost it (spec 14 §5.1)."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from api.management.base import OperatorCommand, refusal
from api.management.customers import find_customer
from api.management.values import day, text
from api.push.metrics import statistics
from api.push.publisher import publish
from api.push.replay import count_days, record_days
from util.kafka import KafkaProducerError


class Command(OperatorCommand):
    """Puts days into the outbox and sends what is in it."""

    help = (
        "Send the usage of days to Kafka again, with the ids that their messages had. Days that"
        " have not ended, or are being calculated, follow by themselves."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let days and a customer be chosen."""
        parser.add_argument("--from", dest="first", type=day, required=True, help="first UTC day")
        parser.add_argument(
            "--to", dest="last", type=day, required=True, help="last UTC day, included"
        )
        parser.add_argument(
            "--org-id", type=text, help="the customer's org id; default: all customers"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count the days")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send. Raises CommandError: exit code 2 for wrong input, 1 if Kafka did not take all."""
        first, last = options["first"], options["last"]
        if last < first:
            raise refusal("--to is before --from.")
        if not settings.USAGE_PUSH:
            raise refusal("USAGE_PUSH is off.")
        user_id = None if options["org_id"] is None else find_customer(options).id
        if options["dry_run"]:
            days, sent = count_days(first=first, last=last, user_id=user_id), 0
        else:
            days = record_days(first=first, last=last, user_id=user_id)
            sent = _send()
        self.tell(
            {"from": first, "to": last, "days": days, "sent": sent},
            f"{days} days from {first} to {last}; {sent} messages were sent",
        )


def _send() -> int:
    sent = 0
    try:
        while more := publish():
            sent += more
    except KafkaProducerError as error:
        raise CommandError(
            f"{error}; {statistics().rows} days wait in the outbox and follow by themselves"
        ) from error
    return sent
