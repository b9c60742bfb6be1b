"""Shows what the inbox of sources messages holds, and revives what failed (decision 27)."""

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from api.models import InboxMessage
from api.models.inbox import UNFINISHED
from api.sources import inbox

logger = logging.getLogger(__name__)

COLUMNS = "{:>10}  {:<9}  {:<34}  {:<24}  {:<20}  {:>8}  {}"


class Command(BaseCommand):
    """For operators."""

    help = "List stored messages of the sources service that wait or failed; or retry the failed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let messages be chosen."""
        parser.add_argument("ids", nargs="*", type=int, help="only these messages")
        parser.add_argument(
            "--state", choices=InboxMessage.State.values, help="only messages in this state"
        )
        parser.add_argument("--limit", type=int, default=100, help="show so many (default 100)")
        parser.add_argument(
            "--retry", action="store_true", help="work on failed and dead messages again"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """List or retry."""
        if options["retry"]:
            self._retry(options["ids"] or None)
        else:
            self._list(options["ids"], options["state"], options["limit"])

    def _retry(self, ids: list[int] | None) -> None:
        count = inbox.retry(ids)
        self.stdout.write(f"{count} messages are worked on again.")
        try:
            inbox.publish_unqueued()
        except Exception as error:
            logger.warning("The broker is away (%s): the next sweep queues them", error)

    def _list(self, ids: list[int], state: str | None, limit: int) -> None:
        messages = InboxMessage.objects.order_by("id")
        if ids:
            messages = messages.filter(id__in=ids)
        elif state:
            messages = messages.filter(state=state)
        else:
            messages = messages.filter(state__in=[*UNFINISHED, InboxMessage.State.DEAD])
        shown = list(messages[:limit])
        if shown:
            head = ("id", "state", "event type", "customer", "received", "attempts", "reason")
            self.stdout.write(COLUMNS.format(*head))
        for message in shown:
            self.stdout.write(
                COLUMNS.format(
                    message.id,
                    message.state,
                    message.event_type,
                    message.customer_key,
                    f"{message.received_at:%Y-%m-%dT%H:%M:%SZ}",
                    message.attempts,
                    message.reason,
                )
            )
        found = inbox.statistics()
        counts = ", ".join(f"{count} {state}" for state, count in found.counts.items())
        self.stdout.write(
            f"{counts}; the oldest has waited {found.oldest_waiting_seconds:.0f} seconds."
        )
