"""Making a table a partitioned one while the product works with it.

Each step is a transaction that leaves a state from which the next run goes on; where copying stands
is told by the comment on the twin. No step waits for a lock for more than some seconds, as others
would wait behind it: it is tried again.
"""

import time
from collections.abc import Callable, Iterator

from django.db import OperationalError, connection, transaction

from api.partitions import ahead, twin
from api.partitions.catalog import (
    PartitionsError,
    checksum,
    columns,
    exists,
    hindrances,
    is_partitioned,
    rows_by_month,
    value,
)
from api.partitions.tables import PartitionedTable
from util.migrations import LOCK_ATTEMPTS, alter_table, pending_migrations
from util.transaction_limits import is_lock_timeout, wait_for_locks

ROWS_AT_ONCE = 20_000
ROW_LOCK_SECONDS = 0.5
"""Less than PostgreSQL takes to look for a deadlock: copying gives way, never the product."""

Tell = Callable[[str], None]


def partition(table: PartitionedTable, tell: Tell) -> None:
    """Do all that is left to be done, and tell each step once it is done.

    Raises PartitionsError if something is in the way, or if the copies differ.
    """
    if not is_partitioned(table):
        _convert(table, tell)
    if exists(table.old):
        alter_table(connection, f"DROP TABLE {table.old}")
        tell("The old table is dropped.")
    for month in ahead.missing(table):
        ahead.add(table, month)
        tell(f"The partition of {month} is added.")


def abandon(table: PartitionedTable) -> None:
    """Take the twin away. Raises PartitionsError if there is none."""
    if is_partitioned(table) or not exists(table.twin):
        raise PartitionsError("No partitioning is under way.")
    alter_table(connection, twin.removal(table))


def _convert(table: PartitionedTable, tell: Tell) -> None:
    if found := hindrances(table):
        raise PartitionsError(f"In the way of partitions of {table.rows}: {', '.join(found)}.")
    if pending_migrations():
        raise PartitionsError("Migrations are pending; apply them first.")
    if not exists(table.twin):
        alter_table(connection, twin.creation(table, ahead.wanted(rows_by_month(table))))
        tell("The twin is made, and follows the table.")
    # Whatever is written after the twin was made, the trigger writes to both.
    top = value(f"SELECT coalesce(max(id), 0) FROM {table.name}")  # noqa: S608
    for last in _ranges_copied(table, top):
        tell(f"Copied up to id {last} of {top}.")
    for first, last in _ranges(table, 0, top):
        _compare(table, f"id > {first} AND id <= {last}")
        tell(f"Compared up to id {last} of {top}.")
    _compare(table, f"id > {top}")
    _compare(table, "id <= 0")
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table.twin}")
    alter_table(connection, twin.exchange(table))
    tell("The partitioned table has taken the table's place.")


def _ranges(table: PartitionedTable, start: int, top: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, without the first and with the last, of a bounded number of rows."""
    while start < top:
        end = value(
            f"SELECT max(id) FROM (SELECT id FROM {table.name} WHERE id > %s AND id <= %s"  # noqa: S608
            " ORDER BY id LIMIT %s) AS next",
            [start, top, ROWS_AT_ONCE],
        )
        end = top if end is None else end
        yield start, end
        start = end


def _ranges_copied(table: PartitionedTable, top: int) -> Iterator[int]:
    """Copy from where an earlier run ended, and yield the last id of each range."""
    for first, last in _ranges(table, _copied_up_to(table), top):
        _copy_with_retries(table, first, last)
        yield last


def _copied_up_to(table: PartitionedTable) -> int:
    comment = value("SELECT obj_description(%s::regclass)", [table.twin])
    return int(comment or 0)


def _copy(table: PartitionedTable, first: int, last: int) -> None:
    names = columns(table)
    with transaction.atomic(), connection.cursor() as cursor:
        wait_for_locks(connection, ROW_LOCK_SECONDS)
        # Locked rows can neither change nor vanish between being read here and written to the
        # twin, where the trigger, which comes next, then finds them.
        cursor.execute(
            f"INSERT INTO {table.twin} ({names}) SELECT {names} FROM {table.name}"  # noqa: S608
            f" WHERE id > %s AND id <= %s FOR SHARE ON CONFLICT (id, {table.key}) DO NOTHING",
            [first, last],
        )
        cursor.execute(f"COMMENT ON TABLE {table.twin} IS '{last}'")


def _copy_with_retries(table: PartitionedTable, first: int, last: int) -> None:
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            _copy(table, first, last)
        except OperationalError as error:
            if not is_lock_timeout(error) or attempt == LOCK_ATTEMPTS:
                raise
            time.sleep(1)
        else:
            return


def _compare(table: PartitionedTable, condition: str) -> None:
    """Raise PartitionsError unless table and twin have equal rows; one statement, one snapshot."""
    both = (
        f"SELECT {checksum(table, table.name, condition)}"
        f" = {checksum(table, table.twin, condition)}"
    )
    if not value(both):
        raise PartitionsError(
            f"Table and twin differ where {condition}. Nothing was exchanged; have the twin taken"
            " away with --abandon, and report this."
        )
