"""Shows what the outbox holds, and has it done again (spec 12 §2)."""

import logging
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from api import outbox, set_aside
from api.management.base import OperatorCommand, add_dry_run, add_limit, require_known
from api.management.tables import Column
from api.management.values import text
from api.models import OutboxEntry
from util.redaction import redact_all

logger = logging.getLogger(__name__)

COLUMNS = (
    Column("id", "id", 40),
    Column("state", "state", 9),
    Column("created_at", "created", 20),
    Column("queued_at", "queued", 20),
    Column("attempts", "attempts", 8),
    Column("task", "task", 50),
    Column("last_error", "last error"),
)


class Command(OperatorCommand):
    """For operators."""

    help = "List outbox entries that are not done, the oldest first; or queue them again at once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let entries be chosen."""
        parser.add_argument("ids", nargs="*", type=text, metavar="ID", help="only these entries")
        add_limit(parser)
        parser.add_argument(
            "--retry",
            nargs="*",
            type=text,
            metavar="ID",
            help="queue these again, or all that are not done; also those set aside",
        )
        add_dry_run(parser)

    def handle(
        self, *args: Any, ids: list[str], retry: list[str] | None, dry_run: bool, **options: Any
    ) -> None:
        """List or retry. Raises CommandError, exit code 2, for unknown entries."""
        chosen = [*ids, *(retry or [])]
        if chosen:
            known = OutboxEntry.objects.filter(key__in=chosen).values_list("key", flat=True)
            require_known(chosen, known, "outbox entry")
        entries = set_aside.outbox_entries().filter(done_at=None).order_by("issued_at", "key")
        if retry is None:
            self._list(set_aside.outbox_entries(), ids, entries, options["limit"])
            return
        if chosen:
            entries = entries.filter(key__in=chosen)
            if done := sorted(set(chosen).difference(entries.values_list("key", flat=True))):
                raise CommandError(f"Done already: outbox entry {', '.join(done)}.")
        if dry_run:
            entry: Any
            for entry in entries.iterator():
                self.tell_change(
                    f"outbox entry {entry.key}", entry.state, "queued now", id=entry.key
                )
        else:
            count = set_aside.retry_outbox(entries)
            self.tell({"retried": count}, f"{count} outbox entries are queued again.")

    def _list(
        self,
        every: QuerySet[OutboxEntry],
        ids: list[str],
        entries: QuerySet[OutboxEntry],
        limit: int,
    ) -> None:
        shown = every.filter(key__in=ids).order_by("issued_at") if ids else entries
        self.tell_rows(map(_columns, shown[:limit]), COLUMNS)
        found = outbox.statistics()
        self.say(
            f"{found.open} are not done; the oldest has waited"
            f" {found.oldest_waiting_seconds:.0f} seconds."
        )


def _columns(entry: Any) -> dict[str, Any]:
    return {
        "id": entry.key,
        "state": entry.state,
        "created_at": entry.issued_at,
        "queued_at": entry.queued_at,
        "done_at": entry.done_at,
        "attempts": entry.attempts,
        "task": entry.task,
        "args": redact_all(entry.args),
        "last_error": entry.last_error,
    }
