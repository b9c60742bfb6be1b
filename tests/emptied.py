"""Emptying the database after tests that commit.

Django truncates all tables and writes its permissions anew, a quarter of a second of processor for
some rows in a few of fifty tables. Here what has rows is emptied, and what comes with migrations
stays, as it does for tests in a transaction.
"""

from functools import cache
from typing import Any

from django.db import connections, transaction
from django.test import TransactionTestCase

_COMES_WITH_MIGRATIONS = {"auth_permission", "django_content_type", "django_migrations"}

# More is truncated: deleted rows stay in the way of later tests until they are vacuumed.
_FEW = 1_000


def empty_quickly() -> None:
    """Let all tests that commit be followed by this; needs PostgreSQL's superuser."""
    TransactionTestCase._fixture_teardown = _fixture_teardown  # type: ignore[attr-defined]


def _fixture_teardown(self: TransactionTestCase) -> None:
    for alias in self._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        empty(alias)


def empty(alias: str = "default") -> None:
    """Remove all rows but those that come with migrations."""
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        _empty(cursor, _tables(alias))


@cache
def _tables(alias: str) -> tuple[str, ...]:
    names = connections[alias].introspection.django_table_names(
        only_existing=True, include_views=False
    )
    return tuple(sorted(set(names) - _COMES_WITH_MIGRATIONS))


def _empty(cursor: Any, tables: tuple[str, ...]) -> None:
    counts = ", ".join(
        f'(SELECT count(*) FROM (SELECT FROM "{name}" LIMIT {_FEW + 1}) AS head)' for name in tables
    )
    cursor.execute(f"SELECT {counts}")
    found = dict(zip(tables, cursor.fetchone(), strict=True))
    if many := [f'"{name}"' for name, rows in found.items() if rows > _FEW]:
        cursor.execute(f"TRUNCATE {', '.join(many)} CASCADE")
    # Without looking for what refers to each row: all of it is deleted.
    statements = ["SET LOCAL session_replication_role = replica"]
    statements += [f'DELETE FROM "{name}"' for name, rows in found.items() if 0 < rows <= _FEW]
    cursor.execute("; ".join(statements))
