"""Recognising a database of the original service, which no migration can turn into ours.

Its tables are those of docs/spec/appendix-a-original-tables.md; some have the names of ours.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

ADVICE = (
    "This database holds tables of the original cloudigrade, which cannot be migrated in place and"
    " are left as they are. Configure an empty database; docs/upgrading-from-the-original.md says"
    " how to go on."
)

_TABLE = "api_awscloudaccount"
"""One that the original has from its first to its last version, and we never had."""

_MIGRATION = "0064_user_is_permanent"


def is_original(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a database has the original's tables, or the record of its migrations."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        if _TABLE in tables:
            return True
        if "django_migrations" not in tables:
            return False
        cursor.execute(
            "SELECT EXISTS (SELECT FROM django_migrations WHERE app = 'api' AND name = %s)",
            [_MIGRATION],
        )
        found: bool = cursor.fetchone()[0]
        return found
