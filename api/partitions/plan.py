"""What ``partition_events --confirm`` would do; changes nothing."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from api.partitions.ahead import missing, wanted
from api.partitions.catalog import (
    OLD,
    TWIN,
    exists,
    hindrances,
    is_partitioned,
    partitioned_months,
    rows_by_month,
    value,
)
from api.partitions.months import TABLE


class Step(NamedTuple):
    """A step, and the locks that it takes."""

    step: str
    locks: str


_CREATE = Step(
    "create the partitioned twin, and a trigger that writes to it what is written to the table",
    "SHARE ROW EXCLUSIVE on events, instances and accounts, for a moment: writers wait",
)
_COPY = Step(
    "copy the rows, in the order of their ids, a bounded number at a time",
    "the rows being copied, FOR SHARE: reading and adding go on",
)
_REST = [
    Step("compare all rows of both by number and checksum, and gather statistics", "none"),
    Step(
        "exchange names, indexes' names and the position of the sequence, in one transaction",
        "ACCESS EXCLUSIVE on events, instances and accounts, for a moment: everybody waits",
    ),
]
_DROP = Step("drop the old table", "none that anybody waits for")


def steps() -> list[Step]:
    """Return what is left to be done, in order."""
    if not is_partitioned():
        return [*([] if exists(TWIN) else [_CREATE]), _COPY, *_REST, _DROP]
    lock = "SHARE ROW EXCLUSIVE on events, ACCESS EXCLUSIVE on the default partition"
    added = [Step(f"add the partition of {month}", lock) for month in missing()]
    return [*([_DROP] if exists(OLD) else []), *added]


def months() -> Iterator[dict[str, Any]]:
    """Yield each month's rows, estimated bytes with indexes, and whether it has a partition."""
    counts = rows_by_month()
    there = partitioned_months()
    total = sum(counts.values())
    size = value(
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree(%s)",
        [TABLE],
    ) or value("SELECT pg_total_relation_size(%s)", [TABLE])
    for month in sorted({*wanted(counts), *there}):
        count = counts.get(month, 0)
        yield {
            "month": str(month),
            "rows": count,
            "bytes": size * count // total if total else 0,
            "partition": month in there,
        }


def obstacles() -> list[str]:
    """Return what keeps the table from being partitioned."""
    return [] if is_partitioned() else hindrances()
