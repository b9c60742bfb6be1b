"""The internal API on large tables: 1,000,000 runs of 50,000 instances (spec 02 §5, §7, §9.1)."""

from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import connection
from django.test import Client

from api.models import Run
from tests import factories
from tests.benchmarks import bulk
from tests.benchmarks.suite import Operation, Suite

B = "/internal/api/cloudigrade/v1"
USERS = 500
ACCOUNTS_PER_USER = 2
INSTANCES = 50_000
RUNS_PER_INSTANCE = 20
PROBLEMATIC = 200
OPEN_EVERY = 10
"""The last run of every tenth instance is open."""

_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
                          created_at, updated_at)
SELECT account.ids[1 + n %% array_length(account.ids, 1)], %(image)s, 'aws',
       'i-' || lpad(to_hex(n), 17, '0'), 'us-east-1',
       '2022-01-01Z'::timestamptz + n * interval '1 second',
       '2022-01-01Z'::timestamptz + n * interval '1 second'
FROM generate_series(1, %(instances)s) n,
     (SELECT array_agg(id ORDER BY id) AS ids FROM api_cloudaccount) account
"""

# Runs of six hours, one a day, stored day by day as they end.
_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT instance.id, cloud_account_id, machine_image_id, start,
       CASE WHEN day < %(runs)s OR instance.id %% %(open)s > 0
            THEN start + interval '6 hours' END,
       't3.large', 2, 8192, start + interval '7 hours', start + interval '7 hours'
FROM generate_series(1, %(runs)s) day, api_instance instance,
     LATERAL (SELECT '2022-01-01Z'::timestamptz + day * interval '1 day'
                     + instance.id %% 3600 * interval '1 second' AS start) began
ORDER BY day, instance.id
"""

_EVENTS = """
INSERT INTO api_instanceevent (instance_id, cloud_account_id, event_type, occurred_at, origin,
                               source_id, source_name, created_at, updated_at)
SELECT instance_id, cloud_account_id, 'power_off', end_time, 'cloudtrail', '', 'StopInstances',
       created_at, created_at
FROM api_run WHERE end_time IS NOT NULL ORDER BY id
"""

_PROBLEMS = """
INSERT INTO api_instanceevent (instance_id, cloud_account_id, event_type, occurred_at, origin,
                               source_id, source_name, created_at, updated_at)
SELECT instance_id, cloud_account_id, 'power_off', start_time + interval '1 hour', 'cloudtrail', '',
       'StopInstances', created_at, created_at
FROM api_run WHERE end_time IS NULL ORDER BY id LIMIT %(problematic)s
"""


class InternalAPI(Suite):
    """Routes that have to stay quick however much there is."""

    title = "internal API: 1,000,000 runs, 50,000 instances, 1,000 accounts"

    def load(self) -> None:
        """Store customers, instances, runs and power-offs by a few statements."""
        users = [factories.make_user() for _ in range(USERS)]
        for user in users:
            for _ in range(ACCOUNTS_PER_USER):
                factories.make_aws_account(user=user)
            factories.make_usage_between(
                user=user, first_day=date(2022, 1, 2), last_day=date(2022, 1, 20)
            )
        self.user = users[0]
        image = factories.make_rhel_image()
        parameters = {
            "image": image.id,
            "instances": INSTANCES,
            "runs": RUNS_PER_INSTANCE,
            "open": OPEN_EVERY,
            "problematic": PROBLEMATIC,
        }
        with connection.cursor() as cursor:
            for statement in (_INSTANCES, _RUNS, _EVENTS, _PROBLEMS):
                cursor.execute(statement, parameters)
        bulk.analyze()
        assert Run.objects.count() == INSTANCES * RUNS_PER_INSTANCE

    def operations(self) -> list[Operation]:
        """Return the routes."""
        number = self.user_number
        return [
            self.reads(
                "all problematic runs",
                "problematic_runs/",
                lambda body: len(body) == PROBLEMATIC,
                target={"wall_s": 1, "statements": 1},
            ),
            self.reads("the first page of runs", "runs/?limit=100", _is_full),
            self.reads("a page in the middle of runs", "runs/?limit=100&offset=500000", _is_full),
            self.reads(
                "runs of a customer", lambda: f"runs/?limit=100&org_id={number()}", _is_full
            ),
            self.reads(
                "runs that began on a day",
                "runs/?limit=100&start_time__gt=2022-01-10&start_time__lt=2022-01-11",
                _is_full,
            ),
            self.reads("the first page of events", "instanceevents/?limit=100", _is_full),
            self.reads(
                "events of a customer",
                lambda: f"instanceevents/?limit=100&account_number={self.user.account_number}",
                _is_full,
            ),
            self.reads(
                "events stored in an hour",
                "instanceevents/?limit=100&created_at__gt=2022-01-10T07:00&created_at__lt=2022-01-10T08:00",
                _is_full,
            ),
            self.reads(
                "usage with its runs",
                lambda: f"concurrentusages/?include_runs=true&limit=100&org_id={number()}",
                lambda body: len(body["data"][3]["potentially_related_runs"]) > 50,
            ),
            Operation(
                "a scrape of metrics",
                lambda: Client().get("/internal/metrics"),
                check=_counts_problems,
                rounds=1,
            ),
        ]

    def user_number(self) -> str:
        """Return the org id of a customer with 2,000 runs."""
        return str(self.user.org_id)

    def reads(
        self,
        name: str,
        path: str | Callable[[], str],
        is_right: Callable[[Any], bool],
        target: dict[str, float] | None = None,
    ) -> Operation:
        """Make the operation that reads a path."""

        def read() -> Any:
            where = path if isinstance(path, str) else path()
            return Client().get(f"{B}/{where}")

        def check(response: Any) -> None:
            assert response.status_code == 200
            assert is_right(response.json())

        return Operation(name, read, check=check, target=target or {"wall_s": 1, "statements": 3})


def _is_full(body: dict[str, Any]) -> bool:
    return len(body["data"]) == 100


def _counts_problems(response: Any) -> None:
    assert f"cloudigrade_problematic_runs {PROBLEMATIC}.0" in response.content.decode()
