"""Partitions for months to come, and for what has fallen into the default partition."""

from collections.abc import Iterable

from django.db import connection

from api.partitions.catalog import columns, partitioned_months, rows_by_month
from api.partitions.months import Month
from api.partitions.tables import PartitionedTable
from util.clock import today
from util.migrations import alter_table

AHEAD = 3
"""Months after this one that get a partition before they come."""


def wanted(filled: Iterable[Month]) -> list[Month]:
    """Return the months that should have a partition: those with rows, this one, and the next."""
    this = Month.of(today())
    return sorted({*filled, *(this.later(months) for months in range(AHEAD + 1))})


def missing(table: PartitionedTable) -> list[Month]:
    """Return the months that should have a partition of a partitioned table, and have none."""
    there = partitioned_months(table)
    return [month for month in wanted(rows_by_month(table, table.default)) if month not in there]


def add(table: PartitionedTable, month: Month) -> None:
    """Add a month's partition, with its rows in the default partition."""
    attach_table(table, month, f"CREATE TABLE {table.partition(month)} ({table.like})")


def attach_table(table: PartitionedTable, month: Month, first: str = "SELECT") -> None:
    """Attach a table as a month's partition, with the month's rows in the default partition.

    ``first`` makes the table, in the same transaction. A row that it has already is left out. The
    default partition is locked and read meanwhile; it holds what came late, and runs that have not
    ended.
    """
    name, names = table.partition(month), columns(table)
    alter_table(
        connection,
        f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE; {first};"  # noqa: S608
        f" WITH moved AS (DELETE FROM {table.default} WHERE {table.condition(month)}"
        f" RETURNING {names})"
        f" INSERT INTO {name} ({names}) SELECT {names} FROM moved ON CONFLICT DO NOTHING;"
        " SET CONSTRAINTS ALL IMMEDIATE;"
        f" ALTER TABLE {table.name} ATTACH PARTITION {name} {month.bounds}",
    )
