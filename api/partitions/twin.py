"""SQL of the partitioned twin of the table, of what keeps it equal, and of the exchange of names.

The twin has the table's columns, defaults, indexes and constraints, but that its unique keys have
the column that chooses the partition too, as PostgreSQL demands. A trigger writes to it whatever is
written to the table, in the same transaction.
"""

from collections.abc import Iterable

from api.partitions.catalog import (
    TablePart,
    columns,
    constraints,
    is_nullable,
    plain_indexes,
    referenced,
    sequence,
)
from api.partitions.months import Month
from api.partitions.tables import PartitionedTable


def creation(table: PartitionedTable, months: Iterable[Month]) -> str:
    """Return the statements that make the twin, and have it follow the table, in one go."""
    return ";\n".join(
        [
            _locks(table, "SHARE ROW EXCLUSIVE"),
            f"CREATE TABLE {table.twin} ({table.like} INCLUDING IDENTITY)"
            f" PARTITION BY RANGE ({table.key})",
            *(
                f"CREATE TABLE {table.partition(month)} PARTITION OF {table.twin} {month.bounds}"
                for month in months
            ),
            f"CREATE TABLE {table.default} PARTITION OF {table.twin} DEFAULT",
            *_keys(table),
            *(_index(table, index) for index in plain_indexes(table)),
            _function(table),
            f"CREATE TRIGGER {table.mirror} AFTER INSERT OR UPDATE OR DELETE ON {table.name}"
            f" FOR EACH ROW EXECUTE FUNCTION {table.mirror}()",
        ]
    )


def removal(table: PartitionedTable) -> str:
    """Return the statements that take the twin away again."""
    return (
        f"{_locks(table, 'SHARE ROW EXCLUSIVE')};"
        f" DROP TRIGGER IF EXISTS {table.mirror} ON {table.name};"
        f" DROP FUNCTION IF EXISTS {table.mirror}; DROP TABLE IF EXISTS {table.twin}"
    )


def exchange(table: PartitionedTable) -> str:
    """Return the statements that put the twin into the table's place.

    The old table loses its foreign keys, so that it keeps nobody from deleting.
    """
    old, new = sequence(table.name), sequence(table.twin)
    name = old.split(".")[-1]
    return ";\n".join(
        [
            _locks(table, "ACCESS EXCLUSIVE"),
            f"DROP TRIGGER {table.mirror} ON {table.name}",
            f"DROP FUNCTION {table.mirror}",
            *(
                f"ALTER TABLE {table.name} DROP CONSTRAINT {key.name}"
                for key in constraints(table, "f")
            ),
            f"SELECT setval('{new}', last_value, is_called) FROM {old}",  # noqa: S608
            f"ALTER SEQUENCE {old} RENAME TO {name}_old",
            f"ALTER SEQUENCE {new} RENAME TO {name}",
            *_renamed_indexes(table),
            f"ALTER TABLE {table.name} RENAME TO {table.old}",
            f"ALTER TABLE {table.twin} RENAME TO {table.name}",
            f"COMMENT ON TABLE {table.name} IS NULL",
        ]
    )


def _locks(table: PartitionedTable, mode: str) -> str:
    # All at the beginning, in the order in which the product takes them.
    return f"LOCK TABLE {', '.join([*referenced(table), table.name])} IN {mode} MODE"


def _keys(table: PartitionedTable) -> Iterable[str]:
    for key in [*constraints(table, "p"), *constraints(table, "u")]:
        yield f"ALTER TABLE {table.twin} ADD CONSTRAINT {key.name}_twin {_with_column(table, key)}"
    for key in constraints(table, "f"):
        yield f"ALTER TABLE {table.twin} ADD CONSTRAINT {key.name} {key.definition}"


def _with_column(table: PartitionedTable, key: TablePart) -> str:
    """Return the key as it is, or with the column that chooses the partition.

    A primary key cannot hold a column that may be empty; a unique key in which empty values are
    equal does the same.
    """
    kind, columns_of_key = key.definition.removesuffix(")").split(" (", 1)
    if table.key in columns_of_key.split(", "):
        return key.definition
    kind = "UNIQUE NULLS NOT DISTINCT" if is_nullable(table) else kind
    return f"{kind} ({columns_of_key}, {table.key})"


def _index(table: PartitionedTable, index: TablePart) -> str:
    """Return the twin's index; a unique one of rows without a month is of the default partition."""
    create, using = index.definition.split(" USING ", 1)
    unique = "UNIQUE " if create.startswith("CREATE UNIQUE ") else ""
    place = table.default if unique and using.endswith(f"({table.key} IS NULL)") else table.twin
    return f"CREATE {unique}INDEX {index.name}_twin ON {place} USING {using}"


def _renamed_indexes(table: PartitionedTable) -> Iterable[str]:
    for part in [
        *constraints(table, "p"),
        *constraints(table, "u"),
        *plain_indexes(table),
    ]:
        yield f"ALTER INDEX {part.name} RENAME TO {part.name}_old"
        yield f"ALTER INDEX {part.name}_twin RENAME TO {part.name}"


def _function(table: PartitionedTable) -> str:
    names = columns(table)
    values = ", ".join(f"NEW.{name}" for name in names.split(", "))
    return f"""CREATE FUNCTION {table.mirror}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM {table.twin}
        WHERE id = OLD.id AND {table.key} IS NOT DISTINCT FROM OLD.{table.key};
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {table.twin} ({names}) VALUES ({values});
    END IF;
    RETURN NULL;
END $$"""  # noqa: S608 - made of names that PostgreSQL told
