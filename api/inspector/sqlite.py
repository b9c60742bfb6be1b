"""The SQLite database of rpm, copied out together with what its log holds (spec 13 §2, §6)."""

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from api.inspector.copies import copy_out
from api.inspector.errors import LimitError, Notes
from api.inspector.rpmheader import MAX_HEADER
from api.inspector.tree import Tree

COMPANIONS = ("-wal", "-journal")
_NAME = "rpmdb.sqlite"
_INSTRUCTIONS = 10_000
_SECONDS = 120.0
_MAX_ROWS = 200_000


def headers(tree: Tree, path: str, notes: Notes) -> Iterator[bytes]:
    """Yield the packages' headers. Raises UnreadableError or LimitError if there are none."""
    with tempfile.TemporaryDirectory(prefix="rpmdb-") as folder:
        copy = Path(folder, _NAME)
        for suffix in ("", *COMPANIONS):
            file = tree.open(path + suffix)
            if file is not None:
                copy_out(file, Path(f"{copy}{suffix}"))
        with contextlib.closing(_connect(copy)) as connection:
            yield from _rows(connection, notes, path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_HEADER)
    deadline = time.monotonic() + _SECONDS
    # A hostile schema may make a table of what never ends.
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _rows(connection: sqlite3.Connection, notes: Notes, path: str) -> Iterator[bytes]:
    """Yield rows from the front, and where that fails, from the back too."""
    last = None
    number = 0
    queries: list[tuple[str, Callable[[int], bool]]] = [
        ("SELECT hnum, blob FROM Packages ORDER BY hnum", lambda _: False),
        ("SELECT hnum, blob FROM Packages ORDER BY hnum DESC", lambda key: key <= (last or 0)),
    ]
    for query, is_known in queries:
        try:
            for key, blob in connection.execute(query):
                if not isinstance(key, int) or is_known(key):
                    break
                last = key if query is queries[0][0] else last
                number += 1
                if number > _MAX_ROWS:
                    raise LimitError("has too many rows; the others are left out")
                yield blob if isinstance(blob, bytes) else b""
            else:
                return
        except (sqlite3.Error, LimitError) as error:
            notes.add(path, error)
            if isinstance(error, LimitError):
                return
