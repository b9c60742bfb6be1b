"""COPY of a table, as blocks of bytes that are passed on as they come (spec 11 §4).

PostgreSQL hands over row by row, which a thread gathers into blocks; a short queue of these is all
that is held. So a slow client slows PostgreSQL down, and a client that hung up, or took too long,
ends the statement.
"""

import errno
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, BinaryIO, Final

from django.db import connection, transaction

from api.export.parquet import ParquetRows
from api.export.tables import CSV, PARQUET, ExportTable

BLOCK: Final = 64 * 1024
BLOCKS_AT_ONCE: Final = 8
LOOK_EVERY: Final = 0.5
"""Seconds after which it is asked again whether anybody is waiting."""


class ExportAbandonedError(BrokenPipeError):
    """Nobody waits for the rest; to gunicorn, a client that hung up like any other."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "nobody waits for the rest of the export")


class _Rows:
    """The file to which psycopg2 writes: row by row, each ending with a line feed."""

    def __init__(self, blocks: "queue.Queue[bytes | None]", line_end: bytes) -> None:
        self._blocks = blocks
        self._line_end = line_end
        self._block = bytearray()
        self._stopped = threading.Event()

    def write(self, row: bytes) -> int:
        """Take a row. Raises ExportAbandonedError when no more are wanted."""
        self._block += row[:-1]
        self._block += self._line_end
        if len(self._block) >= BLOCK:
            self.flush()
        return len(row)

    def flush(self) -> None:
        """Hand the block over, as soon as there is room for it."""
        self.put(bytes(self._block))
        self._block.clear()

    def put(self, block: bytes | None) -> None:
        """Hand something over; None stands for the end."""
        while not self._stopped.is_set():
            try:
                self._blocks.put(block, timeout=LOOK_EVERY)
            except queue.Full:
                continue
            return
        raise ExportAbandonedError

    def stop(self) -> None:
        """Take no more rows."""
        self._stopped.set()


def count_rows(table: ExportTable, *, most: int) -> int:
    """Return how many rows there are, ``most`` at the most."""
    with connection.cursor() as cursor:
        cursor.execute(table.count(most), table.parameters)
        return cursor.fetchone()[0]


class _RowFile:
    """A file to which psycopg2 writes row by row, each ending with a line feed."""

    def __init__(self, form: str, file: BinaryIO) -> None:
        # CSV begins with a row of names.
        self.rows = -1 if form == CSV else 0
        self._file = file
        self._line_end = _line_end(form)

    def write(self, row: bytes) -> int:
        """Write a row."""
        self.rows += 1
        self._file.write(row[:-1])
        self._file.write(self._line_end)
        return len(row)

    def close(self) -> None:
        """Do nothing: the file is whole after its last row."""


def copy_to(table: ExportTable, form: str, file: BinaryIO) -> int:
    """Write the table in a format to a file, however long it takes; return how many rows it has.

    Raises ModuleNotFoundError for Parquet where pyarrow is not installed.
    """
    target = ParquetRows(table, file) if form == PARQUET else _RowFile(form, file)
    with closing(target), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.copy_expert(cursor.mogrify(table.copy(form), table.parameters), target)
    return target.rows


def _line_end(form: str) -> bytes:
    return b"\r\n" if form == CSV else b"\n"


def copy_blocks(
    table: ExportTable,
    form: str,
    *,
    seconds: float = 0,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Iterator[bytes]:
    """Yield the table in a format, one block after the other; one statement, one snapshot.

    ``seconds`` is how long the statement may take, 0 for ever; ``is_wanted`` tells whether somebody
    still waits. Raises ``OperationalError`` if it takes longer, ExportAbandonedError if nobody
    waits. When the iterator is closed the statement is cancelled.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        statement = cursor.mogrify(table.copy(form), table.parameters)
        yield from _copied(cursor, statement, _line_end(form), is_wanted)


def _copied(
    cursor: Any, statement: bytes, line_end: bytes, is_wanted: Callable[[], bool]
) -> Iterator[bytes]:
    blocks: queue.Queue[bytes | None] = queue.Queue(BLOCKS_AT_ONCE)
    rows = _Rows(blocks, line_end)
    failures: list[BaseException] = []
    copier = threading.Thread(
        target=_copy, args=(cursor.cursor, statement, rows, failures), name="export", daemon=True
    )
    copier.start()
    try:
        while (block := _next(blocks, is_wanted)) is not None:
            if block:
                yield block
    finally:
        rows.stop()
        while copier.is_alive():
            # Again if the statement had not begun yet.
            connection.connection.cancel()
            copier.join(LOOK_EVERY)
    if failures:
        with connection.wrap_database_errors:
            raise failures[0]


def _copy(cursor: Any, statement: bytes, rows: _Rows, failures: list[BaseException]) -> None:
    """Run the statement, in the thread; it ends with None in the queue, if anybody reads that."""
    try:
        cursor.copy_expert(statement, rows)
        rows.flush()
    except BaseException as error:
        failures.append(error)
    try:
        rows.put(None)
    except ExportAbandonedError:
        return


def _next(blocks: "queue.Queue[bytes | None]", is_wanted: Callable[[], bool]) -> bytes | None:
    while True:
        try:
            return blocks.get(timeout=LOOK_EVERY)
        except queue.Empty:
            if not is_wanted():
                raise ExportAbandonedError from None
