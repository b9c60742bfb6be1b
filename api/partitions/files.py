"""A table of events as a file, and back: gzipped CSV as COPY writes it, or Parquet.

The name of the file decides. Parquet needs the optional package pyarrow, as exports do
(``api.export.parquet``).
"""

import gzip
import os
from collections.abc import Iterator
from importlib import import_module
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.db import DataError, connection, transaction

from api.export.columns import ColumnKind, ExportColumn
from api.export.copying import copy_to
from api.export.parquet import NOT_INSTALLED, is_installed
from api.export.tables import PARQUET, ExportTable
from api.partitions.catalog import PartitionsError, checksum, columns, rows
from api.partitions.tables import EVENTS

_KINDS = {
    "bigint": ColumnKind.INTEGER,
    "integer": ColumnKind.INTEGER,
    "timestamp with time zone": ColumnKind.MOMENT,
}
"""All other columns are text."""


def write(name: str, path: Path) -> int:
    """Write a table like that of events to a file that is there as a whole or not at all.

    Returns how many rows it has. Raises OSError if it cannot be written, PartitionsError if what
    is read back is not equal, or for Parquet where pyarrow is not installed.
    """
    _require_package(path)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    with transaction.atomic(), connection.cursor() as cursor:
        with part.open("wb") as file:
            count = _write_parquet(name, file) if _is_parquet(path) else _write_csv(name, file)
        _sync(part)
        cursor.execute(f"CREATE TEMPORARY TABLE read_back ({EVENTS.like}) ON COMMIT DROP")
        load(cursor, "read_back", part)
        cursor.execute(f"SELECT {checksum(EVENTS, name)} = {checksum(EVENTS, 'read_back')}")
        if not cursor.fetchone()[0]:
            raise PartitionsError(f"{part} does not have the rows of {name}, which is kept.")
    part.rename(path)
    _sync(path.parent)
    return count


def load(cursor: Any, name: str, path: Path) -> None:
    """Read a file of ``write`` into an empty table; raises PartitionsError if it cannot be read."""
    _require_package(path)
    # Besides pyarrow's own, which are ValueError.
    broken = (OSError, EOFError, DataError, ValueError)
    try:
        for source in _parquet_batches(path) if _is_parquet(path) else _csv_rows(path):
            cursor.copy_expert(
                f"COPY {name} ({columns(EVENTS)}) FROM STDIN WITH (FORMAT csv)", source
            )
    except broken as error:
        reason = str(error).splitlines()[0]
        raise PartitionsError(f"{path} cannot be read: {reason}") from error


def _is_parquet(path: Path) -> bool:
    return path.suffix == f".{PARQUET}"


def _require_package(path: Path) -> None:
    if _is_parquet(path) and not is_installed():
        raise PartitionsError(NOT_INSTALLED)


def _write_csv(name: str, raw: BinaryIO) -> int:
    names = columns(EVENTS)
    with connection.cursor() as cursor, gzip.open(raw, "wb") as file:
        cursor.copy_expert(
            f"COPY (SELECT {names} FROM {name} ORDER BY occurred_at, id)"  # noqa: S608
            " TO STDOUT WITH (FORMAT csv, HEADER true)",
            file,
        )
        count: int = cursor.rowcount
    return count


def _write_parquet(name: str, raw: BinaryIO) -> int:
    kinds = rows(
        "SELECT quote_ident(attname), format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [EVENTS.name],
    )
    exported = [
        ExportColumn(column, column, _KINDS.get(kind, ColumnKind.TEXT)) for column, kind in kinds
    ]
    return copy_to(ExportTable(exported, f"FROM {name}", "ORDER BY occurred_at, id"), PARQUET, raw)


def _csv_rows(path: Path) -> Iterator[BinaryIO]:
    with gzip.open(path, "rb") as file:
        head = file.readline(10_000).decode(errors="replace").strip()
        _require_columns(path, head.split(","))
        yield cast("BinaryIO", file)


def _parquet_batches(path: Path) -> Iterator[BufferedIOBase]:
    csv = import_module("pyarrow.csv")
    options = csv.WriteOptions(include_header=False)
    with import_module("pyarrow.parquet").ParquetFile(path) as file:
        _require_columns(path, file.schema_arrow.names)
        for batch in file.iter_batches():
            text = BytesIO()
            csv.write_csv(batch, text, options)
            text.seek(0)
            yield text


def _require_columns(path: Path, found: list[str]) -> None:
    if found != columns(EVENTS).split(", "):
        raise PartitionsError(f"{path} does not have the columns of the table of events.")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
