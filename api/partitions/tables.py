"""The two tables that may be partitioned, and the names of what belongs to each."""

import re
from typing import NamedTuple

from api.partitions.months import Month


class PartitionedTable(NamedTuple):
    """A table, what operators call its rows, and the column whose month chooses the partition.

    Rows without a value in that column, and rows of months that have no partition, are in the
    default partition.
    """

    name: str
    rows: str
    key: str

    @property
    def twin(self) -> str:
        """The name of the partitioned twin while it is being filled."""
        return f"{self.name}_twin"

    @property
    def old(self) -> str:
        """The name of the table whose place its twin has taken, until it is dropped."""
        return f"{self.name}_old"

    @property
    def default(self) -> str:
        """The name of the default partition."""
        return f"{self.name}_default"

    @property
    def mirror(self) -> str:
        """The name of the trigger that keeps the twin equal, and of its function."""
        return f"{self.name}_mirror"

    def partition(self, month: Month) -> str:
        """Return the name of a month's partition."""
        return f"{self.name}_p{month.year:04}_{month.month:02}"

    def month_of(self, partition: str) -> Month | None:
        """Return the month whose partition has this name, None if none has."""
        found = re.fullmatch(rf"{self.name}_p(\d{{4}})_(\d{{2}})", partition, re.ASCII)
        return Month.parse("-".join(found.groups())) if found else None

    def condition(self, month: Month) -> str:
        """Return SQL of what holds for the rows of a month."""
        return f"{self.key} >= {month.start} AND {self.key} < {month.later(1).start}"

    @property
    def like(self) -> str:
        """SQL that gives another table its columns, defaults and checks."""
        return f"LIKE {self.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE"


EVENTS = PartitionedTable("api_instanceevent", "events", "occurred_at")
RUNS = PartitionedTable("api_run", "runs", "end_time")
"""Runs that have not ended are in the default partition."""
TABLES = {table.rows: table for table in (EVENTS, RUNS)}
