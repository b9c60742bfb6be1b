"""Shows what the inbox of sources messages holds, and revives what failed (decision 27)."""

import logging
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from api.management.base import OperatorCommand, add_dry_run, add_limit, require_known
from api.management.tables import Column
from api.management.values import row_id
from api.models import InboxMessage
from api.models.inbox import UNFINISHED
from api.sources import inbox

logger = logging.getLogger(__name__)

COLUMNS = (
    Column("id", "id", 10),
    Column("state", "state", 9),
    Column("event_type", "event type", 34),
    Column("customer", "customer", 24),
    Column("received_at", "received", 20),
    Column("attempts", "attempts", 8),
    Column("reason", "reason"),
)


class Command(OperatorCommand):
    """For operators."""

    help = "List stored messages of the sources service that wait or failed; or retry the failed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let messages be chosen."""
        parser.add_argument("ids", nargs="*", type=row_id, help="only these messages")
        parser.add_argument(
            "--state", choices=InboxMessage.State.values, help="only messages in this state"
        )
        add_limit(parser)
        parser.add_argument(
            "--retry", action="store_true", help="work on failed and dead messages again"
        )
        add_dry_run(parser)

    def handle(self, *args: Any, ids: list[int], retry: bool, **options: Any) -> None:
        """List or retry. Raises CommandError, exit code 2, for unknown messages."""
        if ids:
            known = InboxMessage.objects.filter(id__in=ids).values_list("id", flat=True)
            require_known(ids, known, "message")
        if not retry:
            self._list(ids, options["state"], options["limit"])
            return
        broken = InboxMessage.objects.filter(state__in=inbox.BROKEN)
        if ids:
            broken = broken.filter(id__in=ids)
            if whole := sorted(set(ids).difference(broken.values_list("id", flat=True))):
                raise CommandError(
                    f"Neither failed nor dead: message {', '.join(map(str, whole))}."
                )
        if options["dry_run"]:
            self._show_changes(broken)
        else:
            self._retry(ids or None)

    def _show_changes(self, broken: QuerySet[InboxMessage]) -> None:
        for message in broken.defer("value", "headers").order_by("id").iterator():
            self.tell_change(
                f"message {message.id}",
                f"{message.state} after {message.attempts} attempts",
                f"{InboxMessage.State.WAITING} after 0 attempts",
                id=message.id,
            )

    def _retry(self, ids: Iterable[int] | None) -> None:
        count = inbox.retry(ids)
        self.tell({"retried": count}, f"{count} messages are worked on again.")
        try:
            inbox.publish_unqueued()
        except Exception as error:
            logger.warning("The broker is away (%s): the next sweep queues them", error)

    def _list(self, ids: list[int], state: str | None, limit: int) -> None:
        messages = InboxMessage.objects.order_by("id").defer("value", "headers")
        if ids:
            messages = messages.filter(id__in=ids)
        elif state:
            messages = messages.filter(state=state)
        else:
            messages = messages.filter(state__in=[*UNFINISHED, InboxMessage.State.DEAD])
        self.tell_rows(map(_columns, messages[:limit]), COLUMNS)
        found = inbox.statistics()
        counts = ", ".join(f"{count} {state}" for state, count in found.counts.items())
        self.say(f"{counts}; the oldest has waited {found.oldest_waiting_seconds:.0f} seconds.")


def _columns(message: InboxMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "state": message.state,
        "event_type": message.event_type,
        "customer": message.customer_key,
        "received_at": message.received_at,
        "attempts": message.attempts,
        "reason": message.reason,
    }
