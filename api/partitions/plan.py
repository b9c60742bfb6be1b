"""What ``partition_events --confirm`` would do; changes nothing."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from api.partitions.ahead import missing, wanted
from api.partitions.catalog import (
    exists,
    hindrances,
    is_partitioned,
    partitioned_months,
    rows_by_month,
    rows_without_month,
    value,
)
from api.partitions.tables import PartitionedTable


class PartitionStep(NamedTuple):
    """A step, and the locks that it takes."""

    step: str
    locks: str


_CREATE = PartitionStep(
    "create the partitioned twin, and a trigger that writes to it what is written to the table",
    "SHARE ROW EXCLUSIVE on the table and those that it refers to, for a moment: writers wait",
)
_COPY = PartitionStep(
    "copy the rows, in the order of their ids, a bounded number at a time",
    "the rows being copied, FOR SHARE: reading and adding go on",
)
_REST = [
    PartitionStep("compare all rows of both by number and checksum, and gather statistics", "none"),
    PartitionStep(
        "exchange names, indexes' names and the position of the sequence, in one transaction",
        "ACCESS EXCLUSIVE on the table and those that it refers to, for a moment: everybody waits",
    ),
]
_DROP = PartitionStep("drop the old table", "none that anybody waits for")


def steps(table: PartitionedTable) -> list[PartitionStep]:
    """Return what is left to be done, in order."""
    if not is_partitioned(table):
        return [*([] if exists(table.twin) else [_CREATE]), _COPY, *_REST, _DROP]
    lock = f"SHARE ROW EXCLUSIVE on {table.rows}, ACCESS EXCLUSIVE on the default partition"
    added = [PartitionStep(f"add the partition of {month}", lock) for month in missing(table)]
    return [*([_DROP] if exists(table.old) else []), *added]


def months(table: PartitionedTable) -> Iterator[dict[str, Any]]:
    """Yield each month's rows, estimated bytes with indexes, and whether it has a partition.

    Rows without a month come last, as those of ``none``; they are in the default partition.
    """
    counts = rows_by_month(table)
    there = partitioned_months(table)
    rest = rows_without_month(table)
    total = sum(counts.values()) + rest
    size = value(
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree(%s)",
        [table.name],
    ) or value("SELECT pg_total_relation_size(%s)", [table.name])

    def line(month: str, count: int, partition: bool) -> dict[str, Any]:
        bytes_of = size * count // total if total else 0
        return {"month": month, "rows": count, "bytes": bytes_of, "partition": partition}

    for month in sorted({*wanted(counts), *there}):
        yield line(str(month), counts.get(month, 0), month in there)
    if rest:
        yield line("none", rest, is_partitioned(table))


def obstacles(table: PartitionedTable) -> list[str]:
    """Return what keeps a table from being partitioned."""
    return [] if is_partitioned(table) else hindrances(table)
