"""What all commands of ours share: ``--json``, refusals, questions and dry runs (spec 12 §2).

Exit codes: 0 if what was asked for was done, 1 if it was not, 2 if it makes no sense.
"""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError
from rest_framework.utils.encoders import JSONEncoder

from api.management.tables import Column, head_line, row_line
from api.management.values import positive

REFUSED = 2
"""Exit code for ids and values that there are not."""


def refusal(message: str) -> CommandError:
    """Return the error that ends a command with exit code 2 and one line."""
    return CommandError(message, returncode=REFUSED)


def require_known(asked: Iterable[Any], known: Iterable[Any], noun: str) -> None:
    """Raise a refusal that names what of ``asked`` is not among ``known``."""
    if unknown := sorted(set(asked) - set(known)):
        raise refusal(f"There is no {noun} {', '.join(map(str, unknown))}.")


class OperatorCommand(BaseCommand):
    """A command that speaks to people in lines and tables, and with ``--json`` to programs.

    With ``json_when_piped`` it does the latter whenever its output is no terminal (spec 10 §4).
    """

    json_when_piped = False
    _json = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Add ``--json`` to the command's own options, and have errors told in one line."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument(
            "--json", action="store_true", help="write one JSON object, or one a line"
        )

        def error(message: str) -> NoReturn:
            if parser.called_from_command_line:
                parser.exit(REFUSED, f"{parser.prog}: {message}\n")
            raise refusal(message)

        parser.error = error  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Raises CommandError, too, if database or Redis cannot be used."""
        self._json = options["json"]
        try:
            return super().execute(*args, **options)
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database cannot be used: {_one_line(error)}") from error
        except (RedisError, BrokerError) as error:
            raise CommandError(f"Redis cannot be used: {_one_line(error)}") from error

    @property
    def wants_json(self) -> bool:
        """Whether programs read the output."""
        return self._json or (self.json_when_piped and not self.stdout.isatty())

    def say(self, text: str) -> None:
        """Write a line for people only."""
        if not self.wants_json:
            self.stdout.write(text)

    def tell(self, result: Mapping[str, Any], text: str) -> None:
        """Write a result: an object for programs, a line for people."""
        self.stdout.write(json.dumps(result, cls=JSONEncoder) if self.wants_json else text)

    def tell_change(self, thing: str, before: Any, after: Any, **more: Any) -> None:
        """Write what a dry run would change; ``more`` is for programs only."""
        change = {"thing": thing, "before": before, "after": after, **more}
        self.tell(change, f"{thing}: {before} -> {after}")

    def tell_rows(self, rows: Iterable[Mapping[str, Any]], columns: Iterable[Column]) -> int:
        """Write rows, as objects or as a table with a head, and return how many there were."""
        columns = list(columns)
        count = 0
        for count, row in enumerate(rows, start=1):
            if count == 1:
                self.say(head_line(columns))
            self.tell(row, row_line(columns, row) if not self.wants_json else "")
        return count

    def agrees(self, question: str) -> bool:
        """Ask; only ``y`` or ``Y`` agrees. Enter, and nobody being there, mean no."""
        # Programs that read the output do not read questions.
        stream = self.stderr if self.wants_json else self.stdout
        stream.write(f"{question} [y/N] ", ending="")
        stream.flush()
        try:
            answer = input()
        except EOFError:
            answer = ""
            stream.write("")
        return answer in ("y", "Y")


def all_rows(
    read: Callable[..., tuple[int, Iterable[Mapping[str, Any]]]], *, at_once: int
) -> Iterator[Mapping[str, Any]]:
    """Yield rows of which ``read`` returns a page, by ``limit`` and ``offset``, and their total."""
    offset, total = 0, 1
    while offset < total:
        total, rows = read(limit=at_once, offset=offset)
        yield from rows
        offset += at_once


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def add_dry_run(parser: ArgumentParser) -> None:
    """Add ``--dry-run``."""
    parser.add_argument(
        "--dry-run", action="store_true", help="only show what would change: before -> after"
    )


def add_limit(parser: ArgumentParser) -> None:
    """Add ``--limit``."""
    parser.add_argument("--limit", type=positive, default=100, help="show so many (default 100)")
