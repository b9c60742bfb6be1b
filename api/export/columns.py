"""Columns of exported tables, and their SQL in each format (spec 11 §4).

In CSV all is text: times ISO 8601 with ``Z``, no value is an empty cell, and a cell that a
spreadsheet would take for a formula gets a leading ``'``. In NDJSON ids are text, the rest is what
it is; so it is in Parquet, where times have types of their own.
"""

from dataclasses import dataclass
from enum import Enum, auto


class ColumnKind(Enum):
    """What the values of a column are."""

    TEXT = auto()
    WORD = auto()
    """One of a few words of ours, none of which a spreadsheet would execute."""
    ID = auto()
    """An integer that is shown as text."""
    INTEGER = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    MOMENT = auto()
    DATE = auto()
    JSON = auto()


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is executed by spreadsheets."""

_STARTS = ", ".join(f"chr({ord(start)})" for start in FORMULA_STARTS)


@dataclass(frozen=True)
class ExportColumn:
    """A column: its name, the SQL of its values, and what these are."""

    name: str
    sql: str
    kind: ColumnKind = ColumnKind.TEXT

    @property
    def csv(self) -> str:
        """Return the SQL of a cell."""
        if self.kind in (ColumnKind.TEXT, ColumnKind.JSON):
            return _unexecutable(f"({self.sql})::text")
        if self.kind is ColumnKind.MOMENT:
            return _moment(self.sql)
        return f"({self.sql})::text"

    @property
    def parquet(self) -> str:
        """Return the SQL of a member that is read into a column: times as numbers.

        Moments are microseconds since 1970, days are days since then.
        """
        if self.kind is ColumnKind.MOMENT:
            return f"(extract(epoch FROM {self.sql}) * 1000000)::bigint"
        if self.kind is ColumnKind.DATE:
            return f"(({self.sql})::date - date '1970-01-01')"
        return f"({self.sql})::text" if self.kind is ColumnKind.JSON else self.json

    @property
    def json(self) -> str:
        """Return the SQL of a member."""
        if self.kind is ColumnKind.MOMENT:
            return _moment(self.sql)
        return f"({self.sql})::text" if self.kind is ColumnKind.ID else f"({self.sql})"


def _moment(sql: str) -> str:
    """Return SQL of a time as ISO 8601, with microseconds if there are any (spec 01 §1.1)."""
    written = f"""to_char(({sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
    return f"replace({written}, '.000000', '') || 'Z'"


def _unexecutable(sql: str) -> str:
    return f"CASE WHEN left({sql}, 1) IN ({_STARTS}) THEN '''' || {sql} ELSE {sql} END"
