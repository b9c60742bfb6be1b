"""A month of events out to a file, gzipped CSV as COPY writes it, and back.

Runs are calculated from all events of their instance (``api.metering.runs``). So a month goes only
if nothing that is left is calculated from it.
"""

import gzip
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.db import DataError, connection, transaction

from api.partitions.ahead import attach_table
from api.partitions.catalog import (
    PartitionsError,
    checksum,
    columns,
    constraints,
    exists,
    is_partitioned,
    partitioned_months,
    rows_by_month,
    value,
)
from api.partitions.months import TABLE, Month
from api.partitions.twin import LIKE
from util.clock import today
from util.migrations import alter_table

STAGING = f"{TABLE}_attaching"
_CSV = "WITH (FORMAT csv, HEADER true)"

# Each instance that has an event elsewhere, or a run that reaches beyond the month.
_NEEDED = """
SELECT count(*) FROM (SELECT DISTINCT instance_id FROM {table}) AS those
WHERE EXISTS (
    SELECT FROM api_instanceevent event
    WHERE event.instance_id = those.instance_id AND NOT ({condition})
) OR EXISTS (
    SELECT FROM api_run run
    WHERE run.instance_id = those.instance_id
      AND (run.end_time IS NULL OR run.end_time >= {end} OR run.start_time < {start})
)
"""


def detach(month: Month, path: Path) -> int:
    """Take a month out of the table and write it to a file; return how many rows it has.

    What an interrupted run had taken out, the next one writes. Raises PartitionsError if the month
    is not over, has no partition, or is still needed, or if the file is there; OSError if it cannot
    be written. In each case the month stays attached, or is so again. Its rows are dropped once
    the file has been read back and is equal.
    """
    _require_partitions()
    if month >= Month.of(today()):
        raise PartitionsError(f"{month} is not over.")
    if path.exists():
        raise PartitionsError(f"{path} is there already.")
    if month in partitioned_months():
        _require_unneeded(month)
        alter_table(connection, f"ALTER TABLE {TABLE} DETACH PARTITION {month.partition}")
    elif not exists(month.partition):
        raise PartitionsError(f"There is no partition of {month}.")
    try:
        # An event may have come between looking and detaching.
        _require_unneeded(month)
        count = _write(month.partition, path)
    except (PartitionsError, OSError):
        attach_table(month)
        raise
    alter_table(connection, f"DROP TABLE {month.partition}")
    return count


def attach(path: Path) -> tuple[Month, int]:
    """Read a file of ``detach`` back; return its month and how many rows were attached.

    Rows of instances and accounts that were erased since are left out. Events of the month that
    came meanwhile stay. Raises PartitionsError if the file cannot be read, is of another table or
    of several months, or if its month is there.
    """
    _require_partitions()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {STAGING}")
        cursor.execute(f"CREATE TABLE {STAGING} ({LIKE})")
        _load(cursor, STAGING, path)
        cursor.execute(
            f"DELETE FROM {STAGING} event WHERE NOT EXISTS ("  # noqa: S608
            " SELECT FROM api_instance WHERE id = event.instance_id) OR NOT EXISTS ("
            " SELECT FROM api_cloudaccount WHERE id = event.cloud_account_id)"
        )
        counts = rows_by_month(STAGING)
        if len(counts) != 1:
            raise PartitionsError(
                f"{path} has rows of {len(counts)} months that could be attached."
            )
        [(month, _)] = counts.items()
        if month in partitioned_months() or exists(month.partition):
            raise PartitionsError(f"There is a partition of {month} already.")
        for key in constraints("u"):
            cursor.execute(f"ALTER TABLE {STAGING} ADD {key.definition}")
        cursor.execute(f"ALTER TABLE {STAGING} ADD CHECK ({month.condition})")
    attach_table(month, f"ALTER TABLE {STAGING} RENAME TO {month.partition}")
    return month, value(f"SELECT count(*) FROM {month.partition}")  # noqa: S608


def _require_partitions() -> None:
    if not is_partitioned():
        raise PartitionsError("The table of events is not partitioned.")


def _require_unneeded(month: Month) -> None:
    needed = value(
        _NEEDED.format(
            table=month.partition,
            condition=month.condition,
            start=month.start,
            end=month.later(1).start,
        )
    )
    if needed:
        raise PartitionsError(
            f"{month} is still needed: {needed} of its instances have events of other months, or"
            " were on beyond it, and their runs are calculated from all of their events."
        )


def _write(table: str, path: Path) -> int:
    """Write a table to a file that is there as a whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    names = columns()
    with transaction.atomic(), connection.cursor() as cursor:
        with part.open("wb") as raw, gzip.open(raw, "wb") as file:
            cursor.copy_expert(
                f"COPY (SELECT {names} FROM {table} ORDER BY occurred_at, id) TO STDOUT {_CSV}",  # noqa: S608
                file,
            )
            count: int = cursor.rowcount
            file.flush()
        _sync(part)
        cursor.execute(f"CREATE TEMPORARY TABLE read_back ({LIKE}) ON COMMIT DROP")
        _load(cursor, "read_back", part)
        cursor.execute(f"SELECT {checksum(table)} = {checksum('read_back')}")
        if not cursor.fetchone()[0]:
            raise PartitionsError(f"{part} does not have the rows of {table}, which is kept.")
    part.rename(path)
    _sync(path.parent)
    return count


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _load(cursor: Any, table: str, path: Path) -> None:
    names = columns()
    try:
        with gzip.open(path, "rb") as file:
            head = file.readline(10_000).decode(errors="replace").strip()
            if head != names.replace(", ", ","):
                raise PartitionsError(f"{path} does not have the columns of the table of events.")
            cursor.copy_expert(
                f"COPY {table} ({names}) FROM STDIN WITH (FORMAT csv)", cast("BinaryIO", file)
            )
    except (OSError, EOFError, DataError) as error:
        reason = str(error).splitlines()[0]
        raise PartitionsError(f"{path} cannot be read: {reason}") from error
