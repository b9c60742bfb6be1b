"""Store from when to when a customer's machines were registered, from a file (spec 11 §2).

The file is CSV with the columns ``cloud,instance_id,registered_from,registered_until``. Times are
ISO 8601, UTC without an offset; without an end a machine is still registered. The same file twice
changes nothing; a row whose machine and beginning are known already sets the end anew. All rows are
stored, or none.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, TextIO

from django.db import connection, transaction

from api.models import Registration
from util import clock

COLUMNS = ("cloud", "instance_id", "registered_from", "registered_until")
LONGEST_ID = 1024
"""Characters; Azure's resource ids have a few hundred."""

ROWS_AT_ONCE = 5_000
ERRORS_AT_MOST = 100
"""How many wrong rows are named."""

_STAGE = """
CREATE TEMPORARY TABLE registration_row (
    line bigint, cloud text, cloud_id text, since timestamptz, until timestamptz
) ON COMMIT DROP
"""

_FILL = """
INSERT INTO registration_row
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
"""

_CONTRADICTIONS = """
SELECT line, first_line FROM (
    SELECT line, until, first_value(line) OVER same AS first_line,
           first_value(until) OVER same AS first_until
    FROM registration_row
    WINDOW same AS (PARTITION BY cloud, lower(cloud_id), since ORDER BY line)
) numbered
WHERE until IS DISTINCT FROM first_until
ORDER BY line LIMIT %s
"""

_MERGE = """
WITH merged AS (
    INSERT INTO api_registration AS stored (
        user_id, cloud, cloud_id, registered_from, registered_until, source, created_at, updated_at
    )
    SELECT DISTINCT ON (cloud, lower(cloud_id), since)
           %(user)s, cloud, cloud_id, since, until, %(source)s, %(now)s, %(now)s
    FROM registration_row ORDER BY cloud, lower(cloud_id), since, line
    ON CONFLICT (user_id, cloud, lower(cloud_id), registered_from) DO UPDATE
    SET registered_until = EXCLUDED.registered_until, source = EXCLUDED.source,
        updated_at = EXCLUDED.updated_at
    WHERE stored.registered_until IS DISTINCT FROM EXCLUDED.registered_until
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM merged
"""


class Row(NamedTuple):
    """A row of the file, and the line on which it ends."""

    line: int
    cloud: str
    cloud_id: str
    since: datetime
    until: datetime | None


class Counts(NamedTuple):
    """What became of the rows of a file."""

    rows: int
    added: int
    changed: int

    @property
    def unchanged(self) -> int:
        """How many told nothing new."""
        return self.rows - self.added - self.changed


class WrongFileError(Exception):
    """The file holds rows that make no sense; ``errors`` names lines and what is wrong."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = list(errors)


def import_registrations(*, user_id: int, file: TextIO, dry_run: bool = False) -> Counts:
    """Store the registrations in a file. Raises WrongFileError, and stores nothing then.

    The file is open with ``errors="surrogateescape"``, so that a row that is not UTF-8 is named.
    """
    with staged_rows(dry_run=dry_run) as cursor:
        rows = stage_file(cursor, file)
        return merge_staged(cursor, user_id=user_id, rows=rows)


@contextmanager
def staged_rows(*, dry_run: bool = False) -> Iterator[Any]:
    """Make the temporary table ``registration_row`` in a transaction; yield a cursor on it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_STAGE)
        yield cursor
        cursor.execute("DROP TABLE registration_row")
        transaction.set_rollback(dry_run)


def stage_file(cursor: Any, file: TextIO) -> int:
    """Copy the rows of a file to the temporary table; return how many. Raises WrongFileError."""
    rows = _stage(cursor, _checked(_lines(file)))
    cursor.execute(_CONTRADICTIONS, [ERRORS_AT_MOST])
    if corrections := cursor.fetchall():
        raise WrongFileError(
            [f"line {line}: contradicts line {first}" for line, first in corrections]
        )
    return rows


def merge_staged(cursor: Any, *, user_id: int, rows: int) -> Counts:
    """Store what the temporary table holds, which are so many rows."""
    cursor.execute(
        _MERGE,
        {"user": user_id, "source": Registration.Source.FILE, "now": clock.now()},
    )
    added, changed = cursor.fetchone()
    return Counts(rows, added, changed)


def _stage(cursor: Any, rows: Iterable[Row]) -> int:
    """Copy rows to the temporary table; return how many there were."""
    rows = iter(rows)
    count = 0
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        cursor.execute(_FILL, [list(column) for column in zip(*batch, strict=True)])
        count += len(batch)
    return count


def _lines(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the head, each with its line. Raises WrongFileError."""
    reader = csv.reader(file)
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        if tuple(head) != COLUMNS:
            raise WrongFileError([f"line 1: the columns must be {','.join(COLUMNS)}"])
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise WrongFileError([f"line {reader.line_num}: is no CSV: {error}"]) from error


def _checked(lines: Iterable[tuple[int, list[str]]]) -> Iterator[Row]:
    """Yield the rows. Raises WrongFileError after the last line if any row is wrong."""
    errors: list[str] = []
    for line, cells in lines:
        try:
            row = _row(line, cells)
        except ValueError as error:
            errors.append(f"line {line}: {error}")
            if len(errors) == ERRORS_AT_MOST:
                break
            continue
        if not errors:
            yield row
    if errors:
        raise WrongFileError(errors)


def _row(line: int, cells: Sequence[str]) -> Row:
    """Read a row. Raises ValueError that says what is wrong."""
    if len(cells) != len(COLUMNS):
        raise ValueError(f"has {len(cells)} columns instead of {len(COLUMNS)}")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError as error:
        raise ValueError("is not UTF-8") from error
    cloud, cloud_id, since_text, until_text = (cell.strip() for cell in cells)
    cloud = cloud.lower()
    if cloud not in Registration.Cloud.values:
        raise ValueError(f"cloud must be one of {', '.join(Registration.Cloud.values)}")
    if not cloud_id or len(cloud_id) > LONGEST_ID or "\0" in cloud_id:
        raise ValueError(f"instance_id must have 1 to {LONGEST_ID} characters")
    since = _time("registered_from", since_text)
    until = _time("registered_until", until_text) if until_text else None
    if until is not None and until <= since:
        raise ValueError("registered_until must be after registered_from")
    return Row(line, cloud, cloud_id, since, until)


def _time(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an ISO 8601 date-time") from error
