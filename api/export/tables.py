"""A table to export: its columns, the SQL of its rows, and the parameters in it (spec 11 §4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.export.columns import ExportColumn

CSV: Final = "csv"
NDJSON: Final = "ndjson"
PARQUET: Final = "parquet"
"""Formats; the last one for export jobs only."""

STREAMED: Final = {CSV: "text/csv", NDJSON: "application/x-ndjson"}
"""Formats that are sent as they are written, with their media types."""
_PARQUET_TYPE: Final = "application/vnd.apache.parquet"


def file_headers(kind: str, form: str) -> tuple[str, str]:
    """Return the Content-Type and the Content-Disposition of a table as a file."""
    content_type = f"{STREAMED[form]}; charset=utf-8" if form in STREAMED else _PARQUET_TYPE
    return content_type, f'attachment; filename="{kind}.{form}"'


@dataclass(frozen=True)
class ExportTable:
    """A table: ``before`` has common table expressions, ``source`` begins with FROM.

    ``order`` begins with ORDER BY and makes the order of the rows definite; it names columns with
    their tables, since a name alone would be that of an exported column, which may be text.
    """

    columns: Sequence[ExportColumn]
    source: str
    order: str
    before: str = ""
    parameters: Mapping[str, Any] | Sequence[Any] = ()

    def count(self, most: int) -> str:
        """Return a statement that counts rows up to a number."""
        rows = f"SELECT 1 {self.source} LIMIT {most}"
        return f"{self.before} SELECT count(*) FROM ({rows}) counted"  # noqa: S608 - our own SQL

    def copy(self, form: str) -> str:
        """Return the statement that writes the rows in a format."""
        if form == CSV:
            cells = ", ".join(f'{column.csv} AS "{column.name}"' for column in self.columns)
            query = f"{self.before} SELECT {cells} {self.source} {self.order}"
            return f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"
        values = (one.parquet if form == PARQUET else one.json for one in self.columns)
        members = ", ".join(
            f'{value} AS "{column.name}"'
            for value, column in zip(values, self.columns, strict=True)
        )
        rows = f"SELECT {members} {self.source} {self.order}"
        # JSON text holds no control characters, so nothing is quoted.
        query = f"{self.before} SELECT row_to_json(exported) FROM ({rows}) exported"  # noqa: S608
        return f"COPY ({query}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
