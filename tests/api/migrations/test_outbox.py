"""Migration 0016: the version before it goes on while errands are outbox entries already."""

import pytest
from django.db import connection

from api.models import OutboxEntry

pytestmark = pytest.mark.django_db

SEND = """
INSERT INTO api_errand (key, task, args, ticket, issued_at, queued_at, done_at)
VALUES ('a', 'task', %s, gen_random_uuid(), now(), now(), NULL)
ON CONFLICT (key) DO UPDATE SET args = EXCLUDED.args, ticket = EXCLUDED.ticket
"""


def test_the_version_before_writes_and_reads_entries_under_the_old_name():
    with connection.cursor() as cursor:
        for args in ("[1]", "[2]"):
            cursor.execute(SEND, [args])
        cursor.execute("UPDATE api_errand SET done_at = now() WHERE key = 'a' RETURNING ticket")
        ((ticket,),) = cursor.fetchall()
    entry = OutboxEntry.objects.get()
    assert (entry.args, entry.task_id, bool(entry.done_at)) == ([2], ticket, True)
