"""The public API behind gunicorn, beside the same rows read and written as barely as possible."""

import itertools
import json
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection

from api.metering.facets import Facets, keys_of
from api.models import User
from tests import factories
from tests.api.public.callers import caller_for
from tests.benchmarks.measure import Cost, measured
from tests.benchmarks.served import Server, mean, send
from tests.benchmarks.suite import Operation, Suite
from util import clock

BASE = "/api/cloudigrade/v2"
INTERNAL = "/internal/api/cloudigrade/v1"

ACCOUNTS = 4
INSTANCES = 5_000
IMAGES = 500
RUNS_PER_INSTANCE = 5
DAYS = 31
ENTRIES_A_DAY = 240
MANY_INSTANCES = 100_000

FILTERED = (
    "filter[region]=region-1,region-2&exclude[status]=stopped",
    "filter[rhel]=true&order_by[instance_type]=desc",
    "filter[search]=abc",
    "filter[contains:cloud_id]=abc",
    "filter[billing]=cloud",
    "order_by[region]=desc",
    "include=state,facets",
)
"""Queries of many instances by brackets (spec 11 §3)."""

REQUESTS = 200
CONNECTIONS = (1, 4)

_INSTANCES = """
INSERT INTO api_instance (cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
                          created_at, updated_at, power_state, power_changed_at, instance_type,
                          usage_operation)
SELECT (%(accounts)s)[1 + n %% %(account_count)s], (%(images)s)[1 + n %% %(image_count)s], 'aws',
       'i-' || lpad(to_hex(%(first)s + n), 17, '0'), 'region-' || n %% 8,
       '2023-01-01Z'::timestamptz + n * 7919 %% 1000000 * interval '1 second', now(),
       (ARRAY['running', 'stopped', NULL])[1 + n %% 3], now(), 't' || n %% 30, 'RunInstances:0010'
FROM generate_series(1, %(count)s) n
"""

# Five runs of four days, each five days after the one before; the last goes on.
_RUNS = """
INSERT INTO api_run (instance_id, cloud_account_id, machine_image_id, start_time, end_time,
                     instance_type, vcpu, memory, created_at, updated_at)
SELECT id, cloud_account_id, machine_image_id, now() - number * interval '5 days',
       CASE WHEN number > 1 THEN now() - number * interval '5 days' + interval '4 days' END,
       't3.large', 2, 8192, now(), now()
FROM api_instance, generate_series(1, %(runs)s) number
WHERE cloud_account_id IN (SELECT id FROM api_cloudaccount WHERE user_id = %(user)s)
"""

_BARE = {
    "accounts": """
        SELECT id, created_at, updated_at, user_id, cloud_type, aws_account_id, account_arn,
               is_enabled, platform_authentication_id, platform_application_id,
               platform_application_is_paused, platform_source_id
        FROM api_cloudaccount WHERE user_id = %s ORDER BY id LIMIT 10""",
    "instances": """
        SELECT instance.id, cloud_account_id, machine_image_id, instance.created_at,
               instance.updated_at, instance.cloud_type, cloud_instance_id, region
        FROM api_instance instance JOIN api_cloudaccount account ON account.id = cloud_account_id
        WHERE user_id = %s ORDER BY instance.created_at, instance.id LIMIT 100""",
    "images": """
        SELECT * FROM api_machineimage WHERE id IN (
            SELECT machine_image_id FROM api_instance
            JOIN api_cloudaccount account ON account.id = cloud_account_id WHERE user_id = %s)
        ORDER BY id LIMIT 100""",
    "concurrent": """
        SELECT date, maximum_counts FROM api_concurrentusage
        WHERE user_id = %s ORDER BY date LIMIT 30""",
}
"""What a page of each list needs at least."""


def entries() -> list[list[Any]]:
    """Return as many numbers of instances as a customer with many products has on a day."""
    keys: dict[Facets, None] = {}
    for number in itertools.count():
        role, sla = f"Red Hat Enterprise Linux Server {number}", f"Premium {number % 3}"
        facets = Facets(("x86_64", "arm64")[number % 2], role, sla, "Production", "L1-L3")
        keys |= dict.fromkeys(keys_of(facets))
        if len(keys) >= ENTRIES_A_DAY:
            break
    return [[*key, 1000 + place] for place, key in enumerate(keys)][:ENTRIES_A_DAY]


class PublicAPI(Suite):
    """Routes that customers' pages and Subscription Watch ask all day; figures of one request."""

    title = "public API: 5,000 instances, 500 images, 31 days of usage; gunicorn, 2 workers"

    def __init__(self) -> None:
        self.server: Server | None = None

    def load(self) -> None:
        """Store two customers, and start gunicorn."""
        self.user, self.large = factories.make_user(), factories.make_user()
        self.store(self.user, accounts=ACCOUNTS, images=IMAGES, instances=INSTANCES)
        self.store(self.large, accounts=3, images=50, instances=MANY_INSTANCES)
        with connection.cursor() as cursor:
            cursor.execute(_RUNS, {"user": self.user.id, "runs": RUNS_PER_INSTANCE})
        yesterday = clock.today() - timedelta(days=1)
        factories.make_usage_between(
            user=self.user,
            first_day=yesterday - timedelta(days=DAYS - 1),
            last_day=yesterday,
            counts=entries(),
        )
        self.server = Server(connection.settings_dict["NAME"])
        self.server.start()

    def unload(self) -> None:
        """Stop gunicorn."""
        if self.server:
            self.server.stop()

    def store(self, user: User, *, accounts: int, images: int, instances: int) -> None:
        """Store a customer's accounts, images and instances."""
        result = factories.RHEL_RESULT | {
            "rhel_version": "8.7",
            "syspurpose": {"role": "Server", "usage": "Production"},
        }
        account_ids = [factories.make_aws_account(user=user).id for _ in range(accounts)]
        image_ids = [
            factories.make_rhel_image(inspection_json=json.dumps(result)).id for _ in range(images)
        ]
        parameters: dict[str, Any] = {
            "accounts": account_ids,
            "account_count": accounts,
            "images": image_ids,
            "image_count": images,
            "first": user.id * 1_000_000,
            "count": instances,
        }
        with connection.cursor() as cursor:
            cursor.execute(_INSTANCES, parameters)

    def operations(self) -> list[Operation]:
        """Return each route at one and four connections, and its bare row."""
        month = clock.today() - timedelta(days=DAYS - 1)
        routes = {
            "accounts": ("/accounts/", 0.004),
            "instances": ("/instances/?limit=100", 0.012),
            "images": ("/images/?limit=100", 0.012),
            "concurrent": (f"/concurrent/?start_date={month}&limit=100", 0.020),
        }
        operations = self.beside_lists()
        for name, (path, target) in routes.items():
            for connections in CONNECTIONS:
                operations.append(
                    Operation(
                        f"{path.partition('start_date')[0]}, {connections} at once",
                        partial(self.ask, path, connections),
                        target={"total_cpu_s": target, "p95_to_mean": 4},
                    )
                )
            operations.append(
                Operation(f"bare SELECT and dump of {name}", partial(self.bare, name))
            )
        for offset in (MANY_INSTANCES // 2, MANY_INSTANCES - 100):
            path = f"/instances/?limit=100&offset={offset}"
            ask = partial(self.ask, path, 1, large=True)
            operations.append(Operation(f"{path} of 100,000", ask, target={"wall_s": 0.050}))
        for query in FILTERED:
            path = f"/instances/?limit=100&{query}"
            ask = partial(self.ask, path, 1, large=True)
            operations.append(Operation(f"{path} of 100,000", ask, target={"wall_s": 0.050}))
        return operations

    def beside_lists(self) -> list[Operation]:
        """Return what is asked all day beside the public lists, and the floor of the stack."""
        yesterday = clock.today() - timedelta(days=1)
        return [
            Operation(
                "a path below the public API that there is not",
                partial(self.send, f"{BASE}/nothing/", status=404),
                target={"total_cpu_s": 0.0008},
            ),
            Operation(
                "internal runs/?limit=100 of 25,000",
                partial(self.send, f"{INTERNAL}/runs/?limit=100"),
                target={"total_cpu_s": 0.005},
            ),
            Operation(
                "healthz/",
                partial(self.send, "/internal/healthz/"),
                target={"total_cpu_s": 0.002},
            ),
            Operation(
                "Subscription Watch's two calls: the user by org id, and a day",
                lambda: self.send(
                    f"{INTERNAL}/users/?org_id={self.user.org_id}",
                    f"{BASE}/concurrent/?start_date={yesterday}",
                ),
                target={"total_cpu_s": 0.004},
            ),
        ]

    def ask(self, path: str, connections: int, *, large: bool = False) -> Cost:
        """Send requests for a customer."""
        return self.send(BASE + path, connections=connections, large=large)

    def send(
        self, *paths: str, connections: int = 1, large: bool = False, status: int = 200
    ) -> Cost:
        """Send requests for a customer; those to several paths count as one."""
        assert self.server is not None
        return send(
            self.server,
            *paths,
            headers=caller_for(self.large if large else self.user).headers,
            requests=REQUESTS,
            connections=connections,
            status=status,
        )

    def bare(self, name: str) -> Cost:
        """Read such a page and write it as JSON, without counting, links and names."""
        with measured() as cost:
            for _ in range(REQUESTS):
                with connection.cursor() as cursor:
                    cursor.execute(_BARE[name], [self.user.id])
                    json.dumps(cursor.fetchall(), default=str)
        return mean(cost, REQUESTS)
