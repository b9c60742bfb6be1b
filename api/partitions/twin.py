"""SQL of the partitioned twin of the table, of what keeps it equal, and of the exchange of names.

The twin has the table's columns, defaults, indexes and constraints, but that its primary key has
``occurred_at`` too, as PostgreSQL demands. A trigger writes to it whatever is written to the table,
in the same transaction.
"""

from collections.abc import Iterable

from api.partitions.catalog import (
    DEFAULT,
    MIRROR,
    OLD,
    TWIN,
    columns,
    constraints,
    plain_indexes,
    referenced,
    sequence,
)
from api.partitions.months import TABLE, Month

LIKE = f"LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE"


def creation(months: Iterable[Month]) -> str:
    """Return the statements that make the twin, and have it follow the table, in one go."""
    return ";\n".join(
        [
            _locks("SHARE ROW EXCLUSIVE"),
            f"CREATE TABLE {TWIN} ({LIKE} INCLUDING IDENTITY) PARTITION BY RANGE (occurred_at)",
            *(
                f"CREATE TABLE {month.partition} PARTITION OF {TWIN} {month.bounds}"
                for month in months
            ),
            f"CREATE TABLE {DEFAULT} PARTITION OF {TWIN} DEFAULT",
            *_keys_and_indexes(),
            _function(),
            f"CREATE TRIGGER {MIRROR} AFTER INSERT OR UPDATE OR DELETE ON {TABLE}"
            f" FOR EACH ROW EXECUTE FUNCTION {MIRROR}()",
        ]
    )


def removal() -> str:
    """Return the statements that take the twin away again."""
    return (
        f"{_locks('SHARE ROW EXCLUSIVE')}; DROP TRIGGER IF EXISTS {MIRROR} ON {TABLE};"
        f" DROP FUNCTION IF EXISTS {MIRROR}; DROP TABLE IF EXISTS {TWIN}"
    )


def exchange() -> str:
    """Return the statements that put the twin into the table's place.

    The old table loses its foreign keys, so that it keeps nobody from deleting.
    """
    old, new = sequence(TABLE), sequence(TWIN)
    name = old.split(".")[-1]
    return ";\n".join(
        [
            _locks("ACCESS EXCLUSIVE"),
            f"DROP TRIGGER {MIRROR} ON {TABLE}",
            f"DROP FUNCTION {MIRROR}",
            *(f"ALTER TABLE {TABLE} DROP CONSTRAINT {key.name}" for key in constraints("f")),
            f"SELECT setval('{new}', last_value, is_called) FROM {old}",  # noqa: S608
            f"ALTER SEQUENCE {old} RENAME TO {name}_old",
            f"ALTER SEQUENCE {new} RENAME TO {name}",
            *_renamed_indexes(),
            f"ALTER TABLE {TABLE} RENAME TO {OLD}",
            f"ALTER TABLE {TWIN} RENAME TO {TABLE}",
            f"COMMENT ON TABLE {TABLE} IS NULL",
        ]
    )


def _locks(mode: str) -> str:
    # All at the beginning, in the order in which the product takes them.
    return f"LOCK TABLE {', '.join([*referenced(), TABLE])} IN {mode} MODE"


def _keys_and_indexes() -> Iterable[str]:
    for key in constraints("p"):
        yield f"ALTER TABLE {TWIN} ADD CONSTRAINT {key.name}_twin PRIMARY KEY (id, occurred_at)"
    for key in constraints("u"):
        yield f"ALTER TABLE {TWIN} ADD CONSTRAINT {key.name}_twin {key.definition}"
    for key in constraints("f"):
        yield f"ALTER TABLE {TWIN} ADD CONSTRAINT {key.name} {key.definition}"
    for index in plain_indexes():
        create, using = index.definition.split(" USING ", 1)
        unique = "UNIQUE " if create.startswith("CREATE UNIQUE ") else ""
        yield f"CREATE {unique}INDEX {index.name}_twin ON {TWIN} USING {using}"


def _renamed_indexes() -> Iterable[str]:
    for part in [*constraints("p"), *constraints("u"), *plain_indexes()]:
        yield f"ALTER INDEX {part.name} RENAME TO {part.name}_old"
        yield f"ALTER INDEX {part.name}_twin RENAME TO {part.name}"


def _function() -> str:
    names = columns()
    values = ", ".join(f"NEW.{name}" for name in names.split(", "))
    return f"""CREATE FUNCTION {MIRROR}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM {TWIN} WHERE id = OLD.id AND occurred_at = OLD.occurred_at;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {TWIN} ({names}) VALUES ({values});
    END IF;
    RETURN NULL;
END $$"""  # noqa: S608 - made of names that PostgreSQL told
