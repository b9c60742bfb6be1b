"""Reading a database of the original: one snapshot, and never a write.

The whole copy sees one moment, as a dump does. Times without a zone are UTC.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2
from psycopg2 import extensions

ROWS_AT_ONCE = 5_000

_TABLES = """
SELECT relname FROM pg_class
JOIN pg_namespace space ON space.oid = relnamespace
WHERE space.nspname = ANY(current_schemas(false)) AND relkind IN ('r', 'p', 'v', 'm')
"""


class NotTheOriginalError(Exception):
    """The database cannot be reached, or has not the tables of the original."""


class Original:
    """A connection to a database of the original, read-only. Raises NotTheOriginalError."""

    def __init__(self, url: str) -> None:
        try:
            self._connection = psycopg2.connect(url, application_name="import_original")
            self._connection.set_session(
                isolation_level=extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True
            )
            with self._connection.cursor() as cursor:
                cursor.execute("SET LOCAL TIME ZONE 'UTC'")
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        except (psycopg2.ProgrammingError, ValueError):
            # The text of the error holds the address, and so the password.
            raise NotTheOriginalError("cannot be read: this is no address of one") from None
        except psycopg2.Error as error:
            raise NotTheOriginalError(f"cannot be read: {_first_line(error)}") from None

    def __enter__(self) -> "Original":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection, so that the original keeps no snapshot for us."""
        self._connection.close()

    def require(self, tables: Sequence[str]) -> None:
        """Raise NotTheOriginalError that names the tables that there are not."""
        with self._connection.cursor() as cursor:
            cursor.execute(_TABLES)
            known = {row[0] for row in cursor.fetchall()}
        if missing := sorted(set(tables) - known):
            raise NotTheOriginalError(f"is not the original's: no table {', '.join(missing)}")

    def batches(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query, some at a time.

        Raises NotTheOriginalError if a column is missing, and what psycopg2 raises if the
        connection breaks.
        """
        with self._connection.cursor(name="import_original") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            try:
                cursor.execute(sql)
            except psycopg2.errors.UndefinedColumn as error:
                raise NotTheOriginalError(
                    f"is not of the original's last version: {_first_line(error)}"
                ) from error
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield rows


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
