"""Measures of a customer who has a hundred thousand instances (spec 11 §1)."""

from typing import Any

from django.db import connection
from django.test import Client

from tests import factories
from tests.benchmarks import bulk, dataset
from tests.benchmarks.bench_year import identity, in_2023
from tests.benchmarks.suite import Operation, Suite

INSTANCES = 100_000

# Three runs of eight days, each ten days after the one before.
_LOAD = """
WITH instance AS (
    INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id,
                              region, created_at, updated_at)
    SELECT %(account)s, (%(images)s)[1 + n %% 20], 'aws', 'i-' || lpad(to_hex(n), 17, '0'),
           'region-' || n %% 8, now(), now()
    FROM generate_series(1, %(count)s) n
    RETURNING id, cloud_account_id, machine_image_id
)
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT id, cloud_account_id, machine_image_id, begins, begins + interval '8 days', 't2.micro', 1,
       1024, now(), now()
FROM instance CROSS JOIN generate_series(0, 2) number
CROSS JOIN LATERAL (
    SELECT '2022-12-01Z'::timestamptz + number * interval '10 days'
           + id * 7919 %% 86400 * interval '1 second' AS begins
) run
"""

DAYS = "start=2022-12-01&end=2023-01-01"


class ManyInstances(Suite):
    """December, nothing of which has been calculated: all is asked of 300,000 runs."""

    title = "measures of 100,000 instances of one customer"

    def load(self) -> None:
        """Store instances and runs."""
        user = factories.make_user(date_joined=dataset.JOINED)
        account = factories.make_aws_account(user=user)
        images = bulk.store_images([dataset.image(1 + 2 * number) for number in range(20)])
        factories.make_definition(instance_type="t2.micro", vcpu=1, memory_mib=1024)
        parameters: dict[str, Any] = {
            "account": account.id,
            "images": [image.id for image in images],
            "count": INSTANCES,
        }
        with connection.cursor() as cursor:
            cursor.execute(_LOAD, parameters)
        bulk.analyze()
        self.client = Client()
        self.headers = {"X-RH-IDENTITY": identity(user)}

    def operations(self) -> list[Operation]:
        """Return one for each kind of question."""
        queries = {
            "a month by day": DAYS,
            "a month by day and region": f"{DAYS}&group_by[region]=*",
            "a month by day, account and image": f"{DAYS}&group_by[account]=*&group_by[image]=*",
            "a month by hour": f"{DAYS}&granularity=hour",
        }
        return [
            Operation(
                f"usage/ of {text}",
                in_2023(lambda query=query: self.read(query)),
                check=self.check,
                target={"wall_s": 10, "statements": 5, "peak_rss_mib": 300},
            )
            for text, query in queries.items()
        ]

    def read(self, query: str):
        """Ask for a page."""
        return self.client.get(
            f"/api/cloudigrade/v2/usage/?limit=100&{query}", headers=self.headers
        )

    def check(self, response) -> None:
        """There is something on in the first row."""
        assert response.status_code == 200, response.content
        assert response.json()["data"][0]["peak"]
