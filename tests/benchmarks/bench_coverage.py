"""How far a day of 100,000 accounts can be trusted (spec 10 §2)."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connection

from api.coverage.calculate import calculate_day
from api.coverage.listing import coverage_days
from api.models import CoverageDay
from tests import factories
from tests.benchmarks.suite import Operation, Suite
from util import clock

ACCOUNTS = 100_000
CPU_SECONDS = 60.0
STATEMENTS = 200
PAGE_SECONDS = 0.1

_ACCOUNTS = """
INSERT INTO api_cloudaccount (user_id, cloud_type, aws_account_id, account_arn, is_enabled,
    enabled_at, is_synthetic, platform_authentication_id, platform_application_id,
    platform_source_id, platform_application_is_paused, created_at, updated_at)
SELECT %(user)s, 'aws', lpad(n::text, 12, '0'), 'arn:' || n, true, %(begin)s - interval '9 days',
       false, n, n, n, false, %(begin)s - interval '9 days', now()
FROM generate_series(1, %(accounts)s) n
"""
_STATES = """
INSERT INTO api_accountstate (account_id, cloud_type, cloud_account_number, user_id, at, from_state,
    to_state, code, cause, topic)
SELECT id, 'aws', aws_account_id, user_id, %(begin)s + days * interval '1 day', 'disabled', change,
       '', 'api', ''
FROM api_cloudaccount,
     (VALUES (-9.0, 'enabled'), (-1.5, 'verified'), (0.5, 'verified')) changes (days, change)
"""
_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
    created_at, updated_at)
SELECT id, %(image)s, 'aws', 'i-' || id || '-' || n, 'us-east-1', now(), now()
FROM api_cloudaccount, generate_series(1, 3) n
"""
_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
    created_at, updated_at)
SELECT id, cloud_account_id, machine_image_id, %(begin)s - interval '2 days',
       CASE WHEN id %% 3 = 0 THEN %(begin)s + interval '5 hours' END, now(), now()
FROM api_instance
"""
# Every six hours, two regions; a hundredth of the accounts missed two rounds.
_DESCRIBES = """
INSERT INTO api_describerun (cloud_account_id, region, kind, started_at, finished_at, outcome,
    error_code, listed, running)
SELECT id, region, 'reconcile', %(begin)s + hours * interval '1 hour',
       %(begin)s + hours * interval '1 hour' + interval '1 minute',
       CASE WHEN id %% 100 = 0 AND hours BETWEEN 5 AND 13 THEN 'failed' ELSE 'ok' END, '', 3, 2
FROM generate_series(-12, 30, 6) hours, api_cloudaccount,
     (VALUES ('us-east-1'), ('eu-west-1')) regions (region)
"""
_HOURS = """
INSERT INTO api_ingesthour (aws_account_id, region, hour, files, records, relevant, stored,
    duplicates, skipped, newest_event_at, largest_event_age, largest_queue_wait, seen)
SELECT aws_account_id, 'us-east-1', %(begin)s + hours * interval '1 hour', 2, 20, 2, 2, 0, '{}',
       %(begin)s + hours * interval '1 hour', 600, 5, E'05_abcdefgh\\n35_abcdefgh'
FROM generate_series(0, 23, 4) hours, api_cloudaccount
"""
_CORRECTIONS = """
INSERT INTO api_correction (instance_id, cloud_account_id, kind, unsure_from, unsure_to)
SELECT id, cloud_account_id, 'missed_off', %(begin)s + interval '6 hours',
       %(begin)s + interval '9 hours'
FROM api_instance WHERE id %% 100 = 1
"""
_FINDINGS = """
INSERT INTO api_auditfinding (aws_account_id, region, reason, bucket, key, events_from, events_to,
    found_at)
SELECT aws_account_id, 'us-east-1', 'log_unprocessed', 'trails', aws_account_id,
       %(begin)s + interval '3 hours', %(begin)s + interval '3.25 hours', now()
FROM api_cloudaccount WHERE id %% 200 = 0
"""


class Coverage(Suite):
    """A past day of accounts that are described in two regions and write six hours of logs."""

    title = "coverage of 100,000 accounts"

    def load(self) -> None:
        """Store accounts and all that is known of one day of them."""
        self.day = clock.today() - timedelta(days=3)
        self.user = factories.make_user()
        values: dict[str, Any] = {
            "user": self.user.id,
            "accounts": ACCOUNTS,
            "image": factories.make_rhel_image().id,
            "begin": datetime.combine(self.day, time(), UTC),
        }
        with connection.cursor() as cursor:
            for statement in (
                *(_ACCOUNTS, _STATES, _INSTANCES, _RUNS, _DESCRIBES, _HOURS, _CORRECTIONS),
                *(_FINDINGS, "ANALYZE"),
            ):
                cursor.execute(statement, values)
            cursor.execute("SELECT id FROM api_cloudaccount ORDER BY id")
            self.account_ids = [row[0] for row in cursor.fetchall()]

    def operations(self) -> list[Operation]:
        """Return the calculation of all accounts, and a page of what it stored."""
        return [
            Operation(
                "one day of all accounts",
                self.calculate,
                prepare=lambda: CoverageDay.objects.all().delete(),
                check=lambda _: self.check(),
                target={"total_cpu_s": CPU_SECONDS, "statements": STATEMENTS},
                rounds=1,
            ),
            Operation(
                "a page of 100 days of accounts",
                self.page,
                check=lambda page: self.check_page(page),
                target={"wall_s": PAGE_SECONDS},
                rounds=20,
                percentile=95,
            ),
        ]

    def calculate(self) -> None:
        """Do what the task does for one day."""
        calculate_day(self.account_ids, self.day)

    def page(self) -> tuple[int, list]:
        """Read what a customer with two accounts, and one with very many, asks for."""
        return coverage_days(
            user_id=self.user.id,
            account_ids=self.account_ids[:100],
            first_day=self.day,
            end=self.day + timedelta(days=1),
            limit=100,
            offset=0,
        )

    def check(self) -> None:
        """Require the gaps that the data were made for."""
        days = CoverageDay.objects.filter(date=self.day)
        assert days.count() == ACCOUNTS
        missed = days.filter(gaps__contains=[{"reason": "describe_gap"}])
        assert missed.count() == ACCOUNTS // 100
        assert days.filter(gaps__contains=[{"reason": "correction"}]).count() >= ACCOUNTS // 100

    def check_page(self, page: tuple[int, list]) -> None:
        """Require a whole page."""
        assert page[0] == len(page[1]) == 100
