"""Why a number of 100,000 instances is what it is (spec 10 §1, "Bound")."""

from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection

from api.metering.concurrency import start_of
from api.metering.facets import ANY, Key
from api.metering.timeline import moment_of
from api.trust.explain import Explanation, explain, members
from tests import factories
from tests.benchmarks.suite import Operation, Suite
from util import clock

RUNS = 100_000

_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
    created_at, updated_at)
SELECT %(account)s, %(image)s, 'aws', 'i-' || n, 'us-east-1', now(), now()
FROM generate_series(1, %(runs)s) n
"""
# One begins each half second of the day, and each lasts into the next one.
_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
    created_at, updated_at)
SELECT id, cloud_account_id, machine_image_id,
       %(begin)s + row_number() OVER (ORDER BY id) * interval '0.5 second',
       %(begin)s + interval '30 hours', now(), now()
FROM api_instance
"""


class Explained(Suite):
    """A day on which 100,000 instances were on at once."""

    title = "a number of 100,000 instances"

    def load(self) -> None:
        """Store the instances and runs of one day, and its number."""
        self.day = clock.today() - timedelta(days=2)
        self.user = factories.make_user(date_joined=clock.now() - timedelta(days=9))
        values: dict[str, Any] = {
            "account": factories.make_aws_account(user=self.user).id,
            "image": factories.make_rhel_image().id,
            "begin": moment_of(start_of(self.day)),
            "runs": RUNS,
        }
        with connection.cursor() as cursor:
            for statement in (_INSTANCES, _RUNS, "ANALYZE"):
                cursor.execute(statement, values)
        factories.make_usage_between(
            user=self.user, first_day=self.day, last_day=self.day, counts=[[ANY] * 5 + [RUNS]]
        )

    def operations(self) -> list[Operation]:
        """Return the explanation, and a page of what it lists."""
        return [
            Operation(
                "the runs that make it",
                self.explain,
                prepare=cache.clear,
                check=self.check,
                target={"statements": 6},
            ),
            Operation(
                "a page of 100 of them with the events behind",
                lambda: self.page(self.explain()),
                check=lambda page: self.check_page(page),
                target={"statements": 6},
            ),
        ]

    def explain(self) -> Explanation:
        """Find the runs."""
        return explain(user_id=self.user.id, day=self.day, key=Key(*[ANY] * 5))

    def page(self, found: Explanation) -> list:
        """Read what is known of the last hundred."""
        return members(
            user_id=self.user.id,
            run_ids=found.run_ids[-100:],
            computed_at=found.computed_at,
            with_sources=True,
        )

    def check(self, found: Explanation) -> None:
        """Require all runs."""
        assert len(found.run_ids) == RUNS

    def check_page(self, page: list) -> None:
        """Require a whole page."""
        assert len(page) == 100
