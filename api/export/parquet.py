"""Tables as Parquet, where the optional package pyarrow is installed (spec 11 §4).

PostgreSQL writes rows as JSON, with moments and days as numbers; pyarrow reads some thousand of
them at a time into columns, and writes these when a row group is full.
"""

from importlib import import_module, util
from io import BytesIO
from typing import Any, BinaryIO, Final

from api.export.columns import ColumnKind
from api.export.tables import ExportTable

ROWS_OF_GROUP: Final = 100_000
BLOCK: Final = 1024 * 1024
"""Bytes of rows that are read at once."""

PACKAGE: Final = "pyarrow"
NOT_INSTALLED: Final = f"Parquet needs the package {PACKAGE}, which this deployment lacks."


def is_installed() -> bool:
    """Return whether Parquet can be written."""
    return util.find_spec(PACKAGE) is not None


class ParquetRows:
    """The file to which psycopg2 writes the rows of a table, each a line of JSON.

    To be closed after the last. Raises ModuleNotFoundError where pyarrow is not installed.
    """

    def __init__(self, table: ExportTable, file: BinaryIO) -> None:
        self.rows = 0
        self._arrow = import_module(PACKAGE)
        self._json = import_module(f"{PACKAGE}.json")
        read, written = _types(self._arrow)
        columns = [(column.name, column.kind) for column in table.columns]
        self._read_as = self._arrow.schema([(name, read[kind]) for name, kind in columns])
        self._schema = self._arrow.schema([(name, written[kind]) for name, kind in columns])
        self._writer = import_module(f"{PACKAGE}.parquet").ParquetWriter(file, self._schema)
        self._block = bytearray()
        self._group: list[Any] = []

    def write(self, row: bytes) -> int:
        """Take a row."""
        self._block += row
        self.rows += 1
        is_full = self.rows % ROWS_OF_GROUP == 0
        if is_full or len(self._block) >= BLOCK:
            self._read_block()
        if is_full:
            self._write_group()
        return len(row)

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._read_block()
        self._write_group()
        self._writer.close()

    def _read_block(self) -> None:
        if not self._block:
            return
        options = self._json.ReadOptions(use_threads=False, block_size=len(self._block))
        expected = self._json.ParseOptions(
            explicit_schema=self._read_as, unexpected_field_behavior="error"
        )
        rows = self._json.read_json(BytesIO(self._block), options, expected)
        self._group.append(rows.cast(self._schema))
        self._block.clear()

    def _write_group(self) -> None:
        if self._group:
            group = self._arrow.concat_tables(self._group)
            self._writer.write_table(group, row_group_size=ROWS_OF_GROUP)
            self._group.clear()


def _types(arrow: Any) -> tuple[dict[ColumnKind, Any], dict[ColumnKind, Any]]:
    """Return the type as which each kind of value is read, and that as which it is written."""
    read = {
        **dict.fromkeys(
            (ColumnKind.TEXT, ColumnKind.WORD, ColumnKind.ID, ColumnKind.JSON), arrow.string()
        ),
        ColumnKind.INTEGER: arrow.int64(),
        ColumnKind.NUMBER: arrow.float64(),
        ColumnKind.BOOLEAN: arrow.bool_(),
        ColumnKind.MOMENT: arrow.int64(),
        ColumnKind.DATE: arrow.int32(),
    }
    written = {
        **read,
        ColumnKind.MOMENT: arrow.timestamp("us", tz="UTC"),
        ColumnKind.DATE: arrow.date32(),
    }
    return read, written
