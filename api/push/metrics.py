"""How the outbox of changed usage is doing, for Prometheus (spec 14 §5.1)."""

from typing import NamedTuple

from django.db import connection

# What waits for the end of its day has nothing to complain of.
_STATISTICS = """
SELECT count(*), coalesce(extract(epoch FROM statement_timestamp() - min(due_at)), 0)::float
FROM api_usageoutboxentry
WHERE due_at <= statement_timestamp()
"""


class PushStatistics(NamedTuple):
    """Entries that could be sent now, and for how many seconds the oldest of them could."""

    rows: int
    oldest_seconds: float


def statistics() -> PushStatistics:
    """Count what waits to be sent, of all topics; one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS)
        return PushStatistics(*cursor.fetchone())
