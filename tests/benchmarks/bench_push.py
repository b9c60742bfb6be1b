"""Telling consumers over Kafka which days changed (spec 14, "Bound")."""

import json
from typing import Any
from unittest import mock

from django.conf import settings
from django.db import connection

from api.models import PublishedUsage, UsageOutboxEntry
from api.push.publisher import publish
from deployment.local.local_services import LocalServices
from tests.benchmarks.suite import Operation, Suite
from util import kafka

CUSTOMERS = 100
DAYS = 50
MESSAGES = CUSTOMERS * DAYS
MESSAGES_A_SECOND = 5_000
STATEMENTS_A_HUNDRED = 2

KEYS = [
    [arch, role, "_ANY", usage, "_ANY", 5]
    for arch in ("_ANY", "x86_64", "arm64")
    for role in ("_ANY", "server", "workstation", "node")
    for usage in ("_ANY", "Production", "Test", "Development", "Recovery")
]

_CUSTOMERS = """
INSERT INTO api_user (password, is_superuser, uuid, account_number, org_id, date_joined, is_active,
                      is_permanent)
SELECT '', false, gen_random_uuid(), 'a' || number, 'o' || number, now() - interval '99 days',
       false, true
FROM generate_series(1, %(customers)s) number
"""
_USAGE = """
INSERT INTO api_concurrentusage (user_id, date, maximum_counts, sums, revision, computed_at,
    summed_at, algorithm, code_version, created_at, updated_at)
SELECT id, current_date - number, %(counts)s, '[]', 1, now(), now(), 'made up', '', now(), now()
FROM api_user CROSS JOIN generate_series(1, %(days)s) number
"""
_CHANGED = """
INSERT INTO api_usageoutboxentry (topic, user_id, date, revision, version, is_replay, recorded_at,
    due_at)
SELECT 'usage', user_id, date, revision, 1, false, now(), now() FROM api_concurrentusage
"""


class Push(Suite):
    """Days of a hundred customers, all of which have just changed."""

    title = f"push of {MESSAGES:,} days of {len(KEYS)} numbers"

    def load(self) -> None:
        """Start a broker, and store the days."""
        self.services = LocalServices(["kafka"], environment={})
        self.services.start()
        brokers = self.services.embedded["kafka"].address
        self._settings = mock.patch.multiple(
            settings, KAFKA_BOOTSTRAP_SERVERS=brokers, USAGE_PUSH=True, create=True
        )
        self._settings.start()
        self._producers: Any = mock.patch.object(kafka, "_bulk_producers", {})
        self._producers.start()
        values: dict[str, Any] = {
            "customers": CUSTOMERS,
            "days": DAYS,
            "counts": json.dumps(KEYS, separators=(",", ":")),
        }
        with connection.cursor() as cursor:
            cursor.execute(_CUSTOMERS, values)
            cursor.execute(_USAGE, values)
            cursor.execute("ANALYZE")

    def unload(self) -> None:
        """Stop the broker."""
        self._producers.stop()
        self._settings.stop()
        self.services.stop()

    def operations(self) -> list[Operation]:
        """Return the publisher."""
        return [
            Operation(
                f"push of {MESSAGES:,} messages",
                publish,
                prepare=self.change,
                check=self.check,
                target={
                    "cpu_s": MESSAGES / MESSAGES_A_SECOND,
                    "statements": MESSAGES / 100 * STATEMENTS_A_HUNDRED,
                },
            )
        ]

    def change(self) -> None:
        """Let consumers have heard of no day."""
        PublishedUsage.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(_CHANGED)

    def check(self, sent: int) -> None:
        """Require that the broker has every message."""
        assert sent == MESSAGES
        assert not UsageOutboxEntry.objects.exists()
