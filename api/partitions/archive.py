"""A month of events out to a file, and back.

Runs are calculated from all events of their instance (``api.metering.runs``). So a month goes only
if nothing that is left is calculated from it.
"""

from pathlib import Path

from django.db import connection, transaction

from api.partitions.ahead import attach_table
from api.partitions.catalog import (
    PartitionsError,
    constraints,
    exists,
    is_partitioned,
    partitioned_months,
    rows_by_month,
    value,
)
from api.partitions.files import load, write
from api.partitions.months import Month
from api.partitions.tables import EVENTS
from util.clock import today
from util.migrations import alter_table

STAGING = f"{EVENTS.name}_attaching"

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
    if month in partitioned_months(EVENTS):
        _require_unneeded(month)
        alter_table(
            connection, f"ALTER TABLE {EVENTS.name} DETACH PARTITION {EVENTS.partition(month)}"
        )
    elif not exists(EVENTS.partition(month)):
        raise PartitionsError(f"There is no partition of {month}.")
    try:
        # An event may have come between looking and detaching.
        _require_unneeded(month)
        count = write(EVENTS.partition(month), path)
    except (PartitionsError, OSError):
        attach_table(EVENTS, month)
        raise
    alter_table(connection, f"DROP TABLE {EVENTS.partition(month)}")
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
        cursor.execute(f"CREATE TABLE {STAGING} ({EVENTS.like})")
        load(cursor, STAGING, path)
        cursor.execute(
            f"DELETE FROM {STAGING} event WHERE NOT EXISTS ("  # noqa: S608
            " SELECT FROM api_instance WHERE id = event.instance_id) OR NOT EXISTS ("
            " SELECT FROM api_cloudaccount WHERE id = event.cloud_account_id)"
        )
        counts = rows_by_month(EVENTS, STAGING)
        if len(counts) != 1:
            raise PartitionsError(
                f"{path} has rows of {len(counts)} months that could be attached."
            )
        [(month, _)] = counts.items()
        if month in partitioned_months(EVENTS) or exists(EVENTS.partition(month)):
            raise PartitionsError(f"There is a partition of {month} already.")
        for key in constraints(EVENTS, "u"):
            cursor.execute(f"ALTER TABLE {STAGING} ADD {key.definition}")
        cursor.execute(f"ALTER TABLE {STAGING} ADD CHECK ({EVENTS.condition(month)})")
    attach_table(EVENTS, month, f"ALTER TABLE {STAGING} RENAME TO {EVENTS.partition(month)}")
    return month, value(f"SELECT count(*) FROM {EVENTS.partition(month)}")  # noqa: S608


def _require_partitions() -> None:
    if not is_partitioned(EVENTS):
        raise PartitionsError("The table of events is not partitioned.")


def _require_unneeded(month: Month) -> None:
    needed = value(
        _NEEDED.format(
            table=EVENTS.partition(month),
            condition=EVENTS.condition(month),
            start=month.start,
            end=month.later(1).start,
        )
    )
    if needed:
        raise PartitionsError(
            f"{month} is still needed: {needed} of its instances have events of other months, or"
            " were on beyond it, and their runs are calculated from all of their events."
        )
