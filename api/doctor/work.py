"""Checks work that must be done: messages, tasks, stale days, inspections (spec 12 §3).

Ages go by PostgreSQL's clock (decision 41). Each check is one statement.
"""

from collections.abc import Iterator
from typing import Any

from django.db import connection

from api.doctor.findings import MOST_NAMED, Finding, and_more, span

WAITING_SECONDS = 15 * 60
INSPECTION_SECONDS = 86400
"""What waits for longer is told."""

# The first row of those that are named tells the age of the oldest.
_INBOX = """
SELECT state = 'dead', count(*), max(age), (array_agg(id::text ORDER BY id))[:%(named)s]
FROM (
    SELECT id, state, extract(epoch FROM statement_timestamp() - received_at)::float AS age
    FROM api_inboxmessage
    WHERE state IN ('waiting', 'working', 'handed_on', 'failed', 'dead')
) message
WHERE state = 'dead' OR age > %(seconds)s
GROUP BY 1 ORDER BY 1 DESC
"""

_OUTBOX = """
SELECT is_dead, count(*), max(age), (array_agg(key ORDER BY issued_at))[:%(named)s],
       (array_agg(last_error ORDER BY issued_at))[1]
FROM (
    SELECT key, issued_at, last_error,
           extract(epoch FROM statement_timestamp() - issued_at)::float AS age,
           EXISTS (
               SELECT FROM api_setasidetask
               WHERE work = 'outbox-' || api_outboxentry.task_id::text AND released_at IS NULL
           ) AS is_dead
    FROM api_outboxentry WHERE done_at IS NULL
) entry
WHERE is_dead OR age > %(seconds)s
GROUP BY 1 ORDER BY 1 DESC
"""

_STALE = """
SELECT count(DISTINCT user_id), extract(epoch FROM statement_timestamp() - min(marked_at))::float,
       (array_agg(DISTINCT user_id::text))[:%(named)s]
FROM api_staleusage
WHERE marked_at < statement_timestamp() - %(seconds)s * interval '1 second'
HAVING count(*) > 0
"""

_SET_ASIDE = """
SELECT name, count(*), (array_agg(id::text ORDER BY id))[:%(named)s]
FROM api_setasidetask WHERE released_at IS NULL
GROUP BY name ORDER BY name
"""

_INSPECTIONS = """
SELECT status, count(*), extract(epoch FROM statement_timestamp() - min(updated_at))::float,
       (array_agg(cloud_image_id ORDER BY updated_at))[:%(named)s]
FROM api_machineimage
WHERE status IN ('pending', 'preparing', 'inspecting') AND cloud_type = 'aws'
  AND reference_image_id IS NULL
  AND updated_at < statement_timestamp() - %(seconds)s * interval '1 second'
GROUP BY status ORDER BY status
"""


def inbox() -> Iterator[Finding]:
    """Report messages of the sources service that are dead, or older than 15 minutes."""
    for is_dead, count, age, ids in _select(_INBOX, WAITING_SECONDS):
        named = f"{', '.join(ids)}{and_more(count)}"
        if is_dead:
            text, runbook = f"{count} inbox messages are dead: {named}.", "Fail"
        else:
            text = f"{count} inbox messages wait, the oldest for {span(age)}: {named}."
            runbook = "Wait"
        yield Finding(text, f"CloudigradeSourcesMessages{runbook}")


def outbox() -> Iterator[Finding]:
    """Report outbox entries that killed their workers, or are older than 15 minutes."""
    for is_dead, count, age, keys, error in _select(_OUTBOX, WAITING_SECONDS):
        named = f"{', '.join(keys)}{and_more(count)}"
        if is_dead:
            yield Finding(f"{count} outbox entries are dead: {named}.", _SET_ASIDE_SECTION)
            continue
        why = f"; last error of the oldest: {error}" if error else ""
        yield Finding(
            f"{count} outbox entries wait, the oldest for {span(age)}: {named}{why}.",
            "CloudigradeOutboxWaits",
        )


def stale_usage() -> Iterator[Finding]:
    """Report customers whose stale days have not been calculated for 15 minutes."""
    for count, age, users in _select(_STALE, WAITING_SECONDS):
        yield Finding(
            f"Usage of {count} customers is stale, for {span(age)} at most: users"
            f" {', '.join(users)}{and_more(count)}.",
            "CloudigradeUsageIsStale",
        )


_SET_ASIDE_SECTION = "CloudigradeTasksAreSetAside"


def set_aside_tasks() -> Iterator[Finding]:
    """Report tasks that killed their process too often (decision 43)."""
    for name, count, ids in _select(_SET_ASIDE, 0):
        yield Finding(
            f"{count} tasks {name} are set aside: {', '.join(ids)}{and_more(count)}.",
            _SET_ASIDE_SECTION,
        )


def inspections() -> Iterator[Finding]:
    """Report images whose inspection has not moved for a day."""
    for status, count, age, images in _select(_INSPECTIONS, INSPECTION_SECONDS):
        yield Finding(
            f"{count} images are {status}, the oldest for {span(age)}:"
            f" {', '.join(images)}{and_more(count)}.",
            "CloudigradeInspectionBacklog",
        )


def _select(statement: str, seconds: float) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"seconds": seconds, "named": MOST_NAMED})
        return cursor.fetchall()
