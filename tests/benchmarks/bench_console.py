"""The console's pages with 100,000 customers, one of them large (spec 12 §1, "Bound")."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.test import Client

from api.doctor.examination import CHECKS, found_now
from api.models import FleetSample
from api.overview.samples import take_sample
from tests import factories
from tests.benchmarks.suite import Operation, Suite
from util import clock

CUSTOMERS = 100_000
ACCOUNTS_OF_ONE = 50
INSTANCES_OF_ONE = 5_000
DAYS = 90

FLEET = {"wall_s": 0.5, "statements": 15}
PAGE = {"wall_s": 0.4}

_USERS = """
INSERT INTO api_user (uuid, org_id, password, is_superuser, is_active, is_permanent, date_joined)
SELECT 'bench-' || n, 'bench-' || n, '', false, true, false, now() - interval '200 days'
FROM generate_series(1, %(customers)s) n
"""
_ACCOUNTS = """
INSERT INTO api_cloudaccount (user_id, cloud_type, aws_account_id, account_arn, is_enabled,
    enabled_at, is_synthetic, platform_authentication_id, platform_application_id,
    platform_source_id, platform_application_is_paused, created_at, updated_at)
SELECT owner, 'aws', lpad(n::text, 12, '0'), 'arn:' || n, true, now() - interval '190 days', false,
       n, n, n, false, now() - interval '190 days', now()
FROM (
    SELECT row_number() OVER () AS n, owner FROM (
        SELECT id AS owner FROM api_user WHERE org_id LIKE 'bench-%%'
        UNION ALL SELECT %(user)s FROM generate_series(1, %(accounts)s)
    ) owners
) numbered
"""
_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
    created_at, updated_at)
SELECT id, %(image)s, 'aws', 'i-' || id || '-' || n, 'us-east-1', now(), now()
FROM api_cloudaccount,
     generate_series(1, CASE WHEN user_id = %(user)s THEN %(instances)s / %(accounts)s ELSE 2 END) n
"""
_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
    created_at, updated_at)
SELECT id, cloud_account_id, machine_image_id, now() - interval '80 days',
       CASE WHEN id %% 3 = 0 THEN now() - interval '1 day' END, now(), now()
FROM api_instance
"""
_COVERAGE = """
INSERT INTO api_coverageday (cloud_account_id, date, state, metered_seconds, gaps, log_files,
    describes_ok, describes_failed, corrections, computed_at)
SELECT account.id, (now() AT TIME ZONE 'UTC')::date - days,
       CASE WHEN account.id %% 250 = 0 THEN 'partial' ELSE 'complete' END, 86400, '[]', 1, 4, 0, 0,
       now()
FROM api_cloudaccount account,
     generate_series(1, CASE WHEN user_id = %(user)s THEN 90 ELSE 3 END) days
"""
_DESCRIBES = """
INSERT INTO api_describerun (cloud_account_id, region, kind, started_at, finished_at, outcome,
    error_code, listed, running)
SELECT id, 'us-east-1', 'reconcile', now() - hours * interval '6 hours',
       now() - hours * interval '6 hours', 'ok', '', 3, 2
FROM generate_series(0, 3) hours, api_cloudaccount
"""


class Console(Suite):
    """Pages as an operator loads them."""

    title = "console with 100,000 customers"

    def load(self) -> None:
        """Store customers, one of them large, and a sample of the fleet."""
        self.user = factories.make_user(date_joined=clock.now() - timedelta(days=200))
        image = factories.make_rhel_image()
        values = {
            "user": self.user.id,
            "customers": CUSTOMERS,
            "accounts": ACCOUNTS_OF_ONE,
            "instances": INSTANCES_OF_ONE,
            "image": image.id,
        }
        with connection.cursor() as cursor:
            for statement in (
                *(_USERS, _ACCOUNTS, _INSTANCES, _RUNS, _COVERAGE, _DESCRIBES),
                "ANALYZE",
            ):
                cursor.execute(statement, values)
        today = clock.today()
        factories.make_usage_between(
            user=self.user,
            first_day=today - timedelta(days=DAYS),
            last_day=today,
            counts=[["_ANY"] * 5 + [INSTANCES_OF_ONE]],
        )
        self.take_sample()
        self.client = Client()

    def operations(self) -> list[Operation]:
        """Return the measurement of the fleet, and the pages."""
        return [
            Operation(
                "the sample of the fleet",
                self.take_sample,
                check=self.check_sample,
                target={"wall_s": 30.0},
                rounds=1,
            ),
            self._page("fleet page", "", FLEET),
            self._page("customer page", "customers/{user}/", PAGE),
            self._page("customer page by architecture", "customers/{user}/?by=arch", PAGE),
            self._page("search", "search/?q=bench-5000", PAGE, status=302),
        ]

    @staticmethod
    def take_sample() -> FleetSample:
        """Measure as the task does; there is no SQS to be asked for dead letters."""
        return take_sample(findings=found_now(name for name in CHECKS if name != "dead letters"))

    def _page(
        self, name: str, path: str, target: dict[str, float], *, status: int = 200
    ) -> Operation:
        return Operation(
            name,
            lambda: self.client.get(f"/internal/console/{path.format(user=self.user.id)}"),
            check=lambda answer: self.check_page(answer, status),
            target=target,
            rounds=20,
            percentile=95,
        )

    def check_page(self, answer: Any, status: int) -> None:
        """Require the page."""
        assert answer.status_code == status, answer.content

    def check_sample(self, sample: FleetSample) -> None:
        """Require the numbers that the data were made for."""
        assert sample.running_rhel is not None
        assert sample.running_rhel > CUSTOMERS
