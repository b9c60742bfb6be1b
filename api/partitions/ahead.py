"""Partitions for months to come, and for what has fallen into the default partition."""

from collections.abc import Iterable

from django.db import connection

from api.partitions.catalog import DEFAULT, columns, partitioned_months, rows_by_month
from api.partitions.months import TABLE, Month
from api.partitions.twin import LIKE
from util.clock import today
from util.migrations import alter_table

AHEAD = 3
"""Months after this one that get a partition before they come."""


def wanted(filled: Iterable[Month]) -> list[Month]:
    """Return the months that should have a partition: those with rows, this one, and the next."""
    this = Month.of(today())
    return sorted({*filled, *(this.later(months) for months in range(AHEAD + 1))})


def missing() -> list[Month]:
    """Return the months that should have a partition of a partitioned table, and have none."""
    there = partitioned_months()
    return [month for month in wanted(rows_by_month(DEFAULT)) if month not in there]


def add(month: Month) -> None:
    """Add a month's partition, with its rows in the default partition."""
    attach_table(month, f"CREATE TABLE {month.partition} ({LIKE})")


def attach_table(month: Month, first: str = "SELECT") -> None:
    """Attach a table as a month's partition, with the month's rows in the default partition.

    ``first`` makes the table, in the same transaction. A row that it has already is left out. The
    default partition is locked meanwhile; it holds what came late, which is little.
    """
    name, names = month.partition, columns()
    alter_table(
        connection,
        f"LOCK TABLE {TABLE} IN SHARE ROW EXCLUSIVE MODE; {first};"  # noqa: S608
        f" WITH moved AS (DELETE FROM {DEFAULT} WHERE {month.condition} RETURNING {names})"
        f" INSERT INTO {name} ({names}) SELECT {names} FROM moved ON CONFLICT DO NOTHING;"
        " SET CONSTRAINTS ALL IMMEDIATE;"
        f" ALTER TABLE {TABLE} ATTACH PARTITION {name} {month.bounds}",
    )
