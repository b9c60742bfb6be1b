"""What the tests of both tables ask."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from api.partitions.catalog import columns
from api.partitions.partitioning import partition
from api.partitions.tables import EVENTS


class KilledError(BaseException):
    """Nothing after this is done."""


def partition_until(table, steps):
    """Partition a table, and be killed once so many steps were told."""
    told = []

    def tell(step):
        told.append(step)
        if len(told) == steps:
            raise KilledError

    with pytest.raises(KilledError):
        partition(table, tell)


def run(*arguments):
    """Run the command; return its exit code and the objects that it wrote."""
    out = io.StringIO()
    try:
        call_command("partition_events", *arguments, "--json", stdout=out, stderr=io.StringIO())
        code = 0
    except CommandError as error:
        code = error.returncode
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def all_rows(table=EVENTS):
    """Return all columns of all rows, in the order of their ids."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns(table)} FROM {table.name} ORDER BY id")
        return cursor.fetchall()


def explained(table, where):
    """Return the plan of reading a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN SELECT * FROM {table.name} WHERE {where}")
        return "\n".join(row[0] for row in cursor.fetchall())
