"""What PostgreSQL says of a table, of its parts, and of what is under way."""

from typing import Any, NamedTuple

from django.db import connection

from api.partitions.months import Month
from api.partitions.tables import PartitionedTable


class PartitionsError(Exception):
    """What was asked for makes no sense, or cannot be done without a loss; nothing was done."""


NULLS_ARE_EQUAL = (15,)
"""The version of PostgreSQL from which on a key can hold empty values, each only once."""


class TablePart(NamedTuple):
    """An index or a constraint: its name and SQL."""

    name: str
    definition: str


_HINDRANCES = """
SELECT 'foreign key ' || conname FROM pg_constraint
WHERE contype = 'f' AND confrelid = %(table)s::regclass AND conparentid = 0
UNION ALL
SELECT 'trigger ' || tgname FROM pg_trigger
WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal AND tgname <> %(mirror)s
UNION ALL
SELECT 'view ' || pg_rewrite.ev_class::regclass FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
WHERE pg_depend.classid = 'pg_rewrite'::regclass AND pg_depend.refobjid = %(table)s::regclass
UNION ALL
SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = %(table)s::regclass
UNION ALL
SELECT 'publication ' || pubname FROM pg_publication_rel
JOIN pg_publication ON pg_publication.oid = prpubid WHERE prrelid = %(table)s::regclass
UNION ALL
SELECT 'privileges ' || relacl::text FROM pg_class
WHERE oid = %(table)s::regclass AND relacl IS NOT NULL
"""


def rows(sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Return what a statement answers. Raises what the database raises."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def value(sql: str, parameters: Any = None) -> Any:
    """Return the first value of a statement's only row."""
    return rows(sql, parameters)[0][0]


def exists(table: str) -> bool:
    """Return whether there is such a table."""
    return value("SELECT to_regclass(%s) IS NOT NULL", [table])


def is_partitioned(table: PartitionedTable) -> bool:
    """Return whether a table is."""
    return value("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", [table.name])


def is_nullable(table: PartitionedTable) -> bool:
    """Return whether the column that chooses the partition may be empty."""
    return value(
        "SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
        [table.name, table.key],
    )


def hindrances(table: PartitionedTable) -> list[str]:
    """Return what hangs on the table that its twin would not have."""
    found = rows(_HINDRANCES, {"table": table.name, "mirror": table.mirror})
    return [row[0] for row in found] + _old_server(table)


def _old_server(table: PartitionedTable) -> list[str]:
    """Return what is in the way if the server knows no key in which nothing equals nothing."""
    version = connection.get_database_version()
    if version >= NULLS_ARE_EQUAL or not is_nullable(table):
        return []
    return [f"PostgreSQL {version[0]} (15 is needed)"]


def columns(table: PartitionedTable) -> str:
    """Return the table's columns, as in a statement."""
    names = rows(
        "SELECT quote_ident(attname) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [table.name],
    )
    return ", ".join(row[0] for row in names)


def constraints(table: PartitionedTable, kind: str) -> list[TablePart]:
    """Return the constraints of a kind: ``p`` primary key, ``u`` unique, ``f`` foreign key."""
    found = rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype = %s ORDER BY conname",
        [table.name, kind],
    )
    return [TablePart(*row) for row in found]


def plain_indexes(table: PartitionedTable) -> list[TablePart]:
    """Return the indexes that belong to no constraint."""
    found = rows(
        "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index"
        " JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE indrelid = %s::regclass AND NOT EXISTS ("
        "     SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"
        " ORDER BY relname",
        [table.name],
    )
    return [TablePart(*row) for row in found]


def referenced(table: PartitionedTable) -> list[str]:
    """Return the tables that the table's foreign keys refer to, in one order for everybody."""
    found = rows(
        "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype = 'f' ORDER BY 1",
        [table.name],
    )
    return [row[0] for row in found]


def sequence(table: str) -> str:
    """Return the sequence that numbers a table's rows."""
    return value("SELECT pg_get_serial_sequence(%s, 'id')", [table])


def partitioned_months(table: PartitionedTable) -> set[Month]:
    """Return the months that have a partition."""
    found = rows(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = %s::regclass",
        [table.name],
    )
    months = (table.month_of(row[0]) for row in found)
    return {month for month in months if month}


def rows_by_month(table: PartitionedTable, name: str = "") -> dict[Month, int]:
    """Return how many rows the table, or one like it, has of each month; reads all of it."""
    found = rows(
        "SELECT extract(year FROM moment)::int, extract(month FROM moment)::int, count(*)"  # noqa: S608
        f" FROM (SELECT {table.key} AT TIME ZONE 'UTC' AS moment FROM {name or table.name}) AS keys"
        " WHERE moment IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return {Month(year, month): count for year, month, count in found}


def rows_without_month(table: PartitionedTable) -> int:
    """Return how many rows have nothing in the column that chooses the partition."""
    return value(f"SELECT count(*) FROM {table.name} WHERE {table.key} IS NULL")  # noqa: S608


def checksum(table: PartitionedTable, name: str, condition: str = "true") -> str:
    """Return SQL of the number of rows of a table like this, and a sum over all that they say."""
    hashes = f"hashtextextended(ROW({columns(table)})::text, 0)"
    both = f"(count(*), coalesce(sum({hashes}), 0))::text"
    return f"(SELECT {both} FROM {name} WHERE {condition})"  # noqa: S608
