"""Stores from when to when a customer's machines were registered (spec 11 §2)."""

import io
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandError

from api.billing.registrations import WrongFileError, import_registrations
from api.billing.summary import summarize
from api.management.base import REFUSED, OperatorCommand, add_dry_run, refusal
from api.management.customers import add_customer, find_customer

_TEXT: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}


class Command(OperatorCommand):
    """Imports a file of registrations: all of it, or nothing."""

    help = (
        "Import from when to when a customer's machines were registered, from a CSV file with the"
        " columns cloud,instance_id,registered_from,registered_until."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let customer and file be chosen."""
        add_customer(parser)
        parser.add_argument("file", help="the CSV file; - for standard input")
        add_dry_run(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Import. Raises CommandError, exit code 2, for a customer or file that makes no sense."""
        user = find_customer(options)
        try:
            with _opened(options["file"]) as file:
                counts = import_registrations(
                    user_id=user.id, file=file, dry_run=options["dry_run"]
                )
        except OSError as error:
            raise refusal(f"{options['file']} cannot be read: {error.strerror}.") from error
        except WrongFileError as error:
            raise CommandError("\n".join(error.errors), returncode=REFUSED) from error
        if not options["dry_run"]:
            summarize(user_id=user.id)
        verb = "would be " if options["dry_run"] else ""
        self.tell(
            {**counts._asdict(), "unchanged": counts.unchanged, "dry_run": options["dry_run"]},
            f"{counts.rows} registrations: {counts.added} {verb}added, {counts.changed} {verb}"
            f"changed, {counts.unchanged} known already.",
        )


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, **_TEXT)
        return
    with Path(name).open(**_TEXT) as file:
        yield file
