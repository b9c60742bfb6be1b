"""What is wrong in how the RHEL of 100,000 instances is paid (spec 11 §2)."""

from datetime import timedelta
from typing import Any

from django.db import connection

from api.billing.findings import FindingsQuery, findings
from api.billing.summary import summarize
from tests import factories
from tests.benchmarks.suite import Operation, Suite
from util import clock

INSTANCES = 100_000
IMAGES = 500
SECONDS = 5.0
"""Of processor time, of both sides (spec 11 §2)."""

_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
                          created_at, updated_at)
SELECT %(account)s, (%(images)s)[1 + n %% %(image_count)s], 'aws', 'i-' || n, 'us-east-1',
       now(), now()
FROM generate_series(1, %(count)s) n
"""
# Each was on for three weeks, off for a day, and goes on since yesterday.
_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT id, cloud_account_id, machine_image_id, now() - first * interval '1 day',
       now() - last * interval '1 day', 't3.large', 2, 8192, now(), now()
FROM api_instance, (VALUES (23, 2), (1, NULL)) days (first, last)
"""
# A fifth each: own, charged by the cloud, converted while it was off, unknown, never described.
_FACTS = """
INSERT INTO api_instancefact (instance_id, observed_at, source, usage_operation)
SELECT id, now() - days * interval '1 day', 'describe', CASE id %% 5
       WHEN 0 THEN 'RunInstances:00g0' WHEN 1 THEN 'RunInstances:0010'
       WHEN 2 THEN CASE days WHEN 23 THEN 'RunInstances:00g0' ELSE 'RunInstances:0010' END
       ELSE 'RunInstances:9999' END
FROM api_instance, (VALUES (23.0), (0.5)) days (days)
WHERE id %% 5 < 4 AND (days = 23 OR id %% 5 = 2)
"""
_REGISTRATIONS = """
INSERT INTO api_registration (user_id, cloud, cloud_id, registered_from, source, created_at,
                              updated_at)
SELECT %(user)s, 'aws', upper(cloud_instance_id), now() - interval '12 hours', 'file', now(), now()
FROM api_instance WHERE id %% 10 < 2
"""


class BillingFindings(Suite):
    """One customer's instances, paid for in all ways."""

    title = "billing of 100,000 instances"

    def load(self) -> None:
        """Store instances, runs, facts and registrations."""
        self.account = factories.make_aws_account()
        images = [
            factories.make_rhel_image(usage_operation="RunInstances:00g0").id for _ in range(IMAGES)
        ]
        values: dict[str, Any] = {
            "account": self.account.id,
            "user": self.account.user_id,
            "images": images,
            "image_count": IMAGES,
            "count": INSTANCES,
        }
        with connection.cursor() as cursor:
            for statement in (_INSTANCES, _RUNS, _FACTS, _REGISTRATIONS, "ANALYZE"):
                cursor.execute(statement, values)
        now = clock.now()
        self.window = FindingsQuery(self.account.user_id, now - timedelta(days=1), now, now)

    def operations(self) -> list[Operation]:
        """Return the pass that is stored, and a page of it as the API reads it."""
        return [
            Operation(
                "all findings of a day",
                lambda: summarize(user_id=self.account.user_id),
                check=self.check,
                target={"total_cpu_s": SECONDS},
            ),
            Operation(
                "the first page of a day",
                lambda: findings(self.window, limit=10)[0],
                check=self.check,
                target={"total_cpu_s": SECONDS},
            ),
        ]

    def check(self, count: int) -> None:
        """Require the number of findings that the data were made for."""
        fifth = INSTANCES // 5
        # Charged: registered every second. Converted: also counted but billed.
        assert count >= fifth + fifth // 2 + 2 * fifth + fifth, count
