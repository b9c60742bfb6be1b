"""The lock under which one customer's runs and usage are written (spec 07 §8).

It belongs to a transaction and ends with it, as a pooler between us and PostgreSQL needs. Work for
different customers never meets. It is not the task lock of ``api.models.locking``: a transaction
that needs both, such as the deletion of an account, takes that one first.
"""

from collections.abc import Iterable

from django.db import connection

# The number of a lock has 64 bits, so that two customers do not share one by chance.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('cloudigrade.metering', %s))"
_TRY_LOCK = """
SELECT id FROM unnest(%s::bigint[]) AS id
WHERE pg_try_advisory_xact_lock(hashtextextended('cloudigrade.metering', id))
"""


def lock_metering(user_id: int) -> None:
    """Become the only transaction that writes this customer's runs and usage; waits its turn."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [user_id])


def try_lock_metering(user_ids: Iterable[int]) -> list[int]:
    """Become that for several customers without waiting; give those whose lock was free."""
    with connection.cursor() as cursor:
        cursor.execute(_TRY_LOCK, [list(user_ids)])
        return [row[0] for row in cursor.fetchall()]
