"""Exports a table of a customer, however large, to a file or to standard output (spec 11 §4)."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rest_framework.exceptions import APIException, ValidationError

from api.export import jobs, parquet
from api.export.copying import copy_to
from api.export.kinds import KINDS, table_of
from api.export.tables import CSV, PARQUET
from api.management.base import OperatorCommand, refusal
from api.management.customers import add_customer, find_customer


class Command(OperatorCommand):
    """Writes CSV, NDJSON or Parquet."""

    help = "Export a table of a customer as CSV, NDJSON or Parquet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let table, customer, format, filters and file be chosen."""
        parser.add_argument("kind", choices=[*KINDS], help="the table")
        add_customer(parser)
        parser.add_argument("--format", choices=[*jobs.FORMATS], default=CSV, dest="form")
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            dest="filters",
            metavar="NAME=VALUE",
            help="a parameter of the route, such as start_date=2023-03-01 or filter[region]=x",
        )
        parser.add_argument("--output", type=Path, help="the file, by default standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Export. Raises CommandError, exit code 2, for what makes no sense."""
        if options["form"] == PARQUET and not parquet.is_installed():
            raise refusal(parquet.NOT_INSTALLED)
        user = find_customer(options)
        query = dict(_pairs(options["filters"]))
        try:
            table = table_of(options["kind"], user, query)
        except ValidationError as error:
            detail: Any = error.detail
            reasons = [f"{name}: {' '.join(texts)}" for name, texts in detail.items()]
            raise refusal(" ".join(reasons)) from error
        except APIException as error:
            raise refusal(str(error.detail)) from error
        if options["output"]:
            with options["output"].open("wb") as file:
                copy_to(table, options["form"], file)
        else:
            copy_to(table, options["form"], sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _pairs(filters: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals:
            raise refusal(f"--filter {text} is not NAME=VALUE.")
        yield name, value
