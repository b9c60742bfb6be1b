"""Making the table of events a partitioned one while the product works with it.

Each step is a transaction that leaves a state from which the next run goes on; where copying stands
is told by the comment on the twin. No step waits for a lock for more than some seconds, as others
would wait behind it: it is tried again.
"""

import time
from collections.abc import Callable, Iterator

from django.db import OperationalError, connection, transaction

from api.partitions import ahead, twin
from api.partitions.catalog import (
    OLD,
    TWIN,
    PartitionsError,
    checksum,
    columns,
    exists,
    hindrances,
    is_partitioned,
    rows_by_month,
    value,
)
from api.partitions.months import TABLE
from util.migrations import LOCK_ATTEMPTS, alter_table, pending_migrations
from util.transaction_limits import is_lock_timeout, wait_for_locks

ROWS_AT_ONCE = 20_000
ROW_LOCK_SECONDS = 0.5
"""Less than PostgreSQL takes to look for a deadlock: copying gives way, never the product."""

Tell = Callable[[str], None]


def partition(tell: Tell) -> None:
    """Do all that is left to be done, and tell each step once it is done.

    Raises PartitionsError if something is in the way, or if the copies differ.
    """
    if not is_partitioned():
        _convert(tell)
    if exists(OLD):
        alter_table(connection, f"DROP TABLE {OLD}")
        tell("The old table is dropped.")
    for month in ahead.missing():
        ahead.add(month)
        tell(f"The partition of {month} is added.")


def abandon() -> None:
    """Take the twin away. Raises PartitionsError if there is none."""
    if is_partitioned() or not exists(TWIN):
        raise PartitionsError("No partitioning is under way.")
    alter_table(connection, twin.removal())


def _convert(tell: Tell) -> None:
    if found := hindrances():
        raise PartitionsError(
            f"The table of events has what its twin would not: {', '.join(found)}."
        )
    if pending_migrations():
        raise PartitionsError("Migrations are pending; apply them first.")
    if not exists(TWIN):
        alter_table(connection, twin.creation(ahead.wanted(rows_by_month())))
        tell("The twin is made, and follows the table.")
    # Whatever is written after the twin was made, the trigger writes to both.
    top = value(f"SELECT coalesce(max(id), 0) FROM {TABLE}")  # noqa: S608
    for last in _ranges_copied(top):
        tell(f"Copied up to id {last} of {top}.")
    for first, last in _ranges(0, top):
        _compare(f"id > {first} AND id <= {last}")
        tell(f"Compared up to id {last} of {top}.")
    _compare(f"id > {top}")
    _compare("id <= 0")
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {TWIN}")
    alter_table(connection, twin.exchange())
    tell("The partitioned table has taken the table's place.")


def _ranges(start: int, top: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, without the first and with the last, of a bounded number of rows."""
    while start < top:
        end = value(
            f"SELECT max(id) FROM (SELECT id FROM {TABLE} WHERE id > %s AND id <= %s"  # noqa: S608
            " ORDER BY id LIMIT %s) AS next",
            [start, top, ROWS_AT_ONCE],
        )
        end = top if end is None else end
        yield start, end
        start = end


def _ranges_copied(top: int) -> Iterator[int]:
    """Copy from where an earlier run ended, and yield the last id of each range."""
    for first, last in _ranges(_copied_up_to(), top):
        _copy_with_patience(first, last)
        yield last


def _copied_up_to() -> int:
    comment = value("SELECT obj_description(%s::regclass)", [TWIN])
    return int(comment or 0)


def _copy(first: int, last: int) -> None:
    names = columns()
    with transaction.atomic(), connection.cursor() as cursor:
        wait_for_locks(connection, ROW_LOCK_SECONDS)
        # Locked rows can neither change nor vanish between being read here and written to the
        # twin, where the trigger, which comes next, then finds them.
        cursor.execute(
            f"INSERT INTO {TWIN} ({names}) SELECT {names} FROM {TABLE}"  # noqa: S608
            " WHERE id > %s AND id <= %s FOR SHARE ON CONFLICT (id, occurred_at) DO NOTHING",
            [first, last],
        )
        cursor.execute(f"COMMENT ON TABLE {TWIN} IS '{last}'")


def _copy_with_patience(first: int, last: int) -> None:
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            _copy(first, last)
        except OperationalError as error:
            if not is_lock_timeout(error) or attempt == LOCK_ATTEMPTS:
                raise
            time.sleep(1)
        else:
            return


def _compare(condition: str) -> None:
    """Raise PartitionsError unless table and twin have equal rows; one statement, one snapshot."""
    both = f"SELECT {checksum(TABLE, condition)} = {checksum(TWIN, condition)}"
    if not value(both):
        raise PartitionsError(
            f"Table and twin differ where {condition}. Nothing was exchanged; have the twin taken"
            " away with --abandon, and report this."
        )
