"""Reading from a streaming replica (spec 15 §2.3), by the product's own web server."""

from contextlib import closing

import psycopg2
import pytest

from deployment.local.app import Product
from deployment.local.http import local_session
from deployment.local.ports import LOOPBACK
from deployment.local.postgres import Postgres
from tests.api.public.callers import identity
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

LAG = "X-Cloudigrade-Replica-Lag"


class Primary(Postgres):
    """A PostgreSQL that others may replicate."""

    name = "primary"
    settings = Postgres.settings | {"wal_level": "replica", "max_wal_senders": "4"}


class Replica(Primary):
    """A streaming replica of a primary."""

    name = "replica"

    def __init__(self, primary):
        super().__init__(primary.surroundings)
        self._source = f"host={LOOPBACK} port={primary.port} user=postgres"

    @staticmethod
    def template():
        """Return none: its data are the primary's."""

    def initialisation(self, binaries, data):
        """Copy the primary's data, with what makes it follow."""
        return [
            *(binaries / "pg_basebackup", "-D", data, "-R", "-X", "stream", "-c", "fast"),
            *("--no-sync", "-d", self._source),
        ]


def execute(port, statement, *parameters):
    """Run a statement, by itself; return its first row, if it has any."""
    with closing(
        psycopg2.connect(host=LOOPBACK, port=port, dbname="postgres", user="postgres")
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone() if cursor.description else None


@pytest.fixture
def primary(services):
    server = Primary(services.surroundings)
    server.launch()
    server.wait_until_ready()
    yield server
    server.stop()


@pytest.fixture
def replica(primary):
    """A replica that does not run yet."""
    server = Replica(primary)
    yield server
    server.stop()


@pytest.fixture
def product(services, primary, replica):
    """The web server, which is told of both."""
    product = Product(
        services,
        settings={
            **primary.env,
            "DJANGO_DATABASE_REPLICA_HOST": LOOPBACK,
            "DJANGO_DATABASE_REPLICA_PORT": str(replica.port),
            "GUNICORN_WORKERS": "1",
        },
    )
    product.start("api")
    yield product
    product.stop()


class Customer:
    """A customer who asks for their accounts."""

    def __init__(self, product, primary):
        self._product, self._primary = product, primary
        execute(primary.port, NEW_CUSTOMER)

    def ask(self):
        with local_session() as session:
            response = session.get(
                f"{self._product.url}/api/cloudigrade/v2/accounts/",
                headers={"X-RH-IDENTITY": identity(account_number="1701", org_id="3340851")},
                timeout=30,
            )
        assert response.status_code == 200, response.text
        return response

    def asks_the_replica(self):
        return LAG in self.ask().headers

    def accounts(self):
        return self.ask().json()["meta"]["count"]

    def add_account(self):
        execute(self._primary.port, NEW_ACCOUNT)


NEW_CUSTOMER = """
INSERT INTO api_user (password, is_superuser, uuid, account_number, org_id, date_joined, is_active,
                      is_permanent)
VALUES ('', false, gen_random_uuid()::text, '1701', '3340851', now(), false, false)
"""
NEW_ACCOUNT = """
INSERT INTO api_cloudaccount (user_id, cloud_type, subscription_id, is_enabled, is_synthetic,
    platform_authentication_id, platform_application_id, platform_source_id,
    platform_application_is_paused, created_at, updated_at)
SELECT id, 'azure', gen_random_uuid(), false, false, random() * 1000000, random() * 1000000, 1,
    false, now(), now()
FROM api_user
"""


def metric(product, name):
    with local_session() as session:
        text = session.get(f"{product.url}/internal/metrics", timeout=30).text
    return [float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")]


def test_reading_routes_read_from_the_replica_and_fall_back(product, primary, replica):
    """15 §2.3: the lag is told, and a dead replica degrades nothing."""
    customer = Customer(product, primary)
    assert not customer.asks_the_replica()
    assert metric(product, "cloudigrade_replica_up") == [0]

    replica.launch()
    replica.wait_until_ready()
    assert wait_for(customer.asks_the_replica, seconds=60)
    customer.add_account()
    assert wait_for(lambda: customer.accounts() == 1)
    assert 0 <= float(customer.ask().headers[LAG]) < 60
    assert metric(product, "cloudigrade_replica_up") == [1]

    # It gets no further: what it shows lies back, and it says so.
    execute(replica.port, "SELECT pg_wal_replay_pause()")
    customer.add_account()
    response = customer.ask()
    assert (response.json()["meta"]["count"], LAG in response.headers) == (1, True)
    assert wait_for(lambda: float(customer.ask().headers.get(LAG, 0)) > 0, seconds=60)
    [lag] = metric(product, "cloudigrade_replica_lag_seconds")
    assert lag > 0

    replica.stop()
    for _ in range(5):
        response = customer.ask()
        assert (response.json()["meta"]["count"], LAG in response.headers) == (2, False)
    assert wait_for(lambda: metric(product, "cloudigrade_replica_up") == [0], seconds=60)


def test_a_replica_that_lags_too_far_behind_is_not_read_from(services, primary, replica):
    product = Product(
        services,
        settings={
            **primary.env,
            "DJANGO_DATABASE_REPLICA_HOST": LOOPBACK,
            "DJANGO_DATABASE_REPLICA_PORT": str(replica.port),
            "DJANGO_DATABASE_REPLICA_MAX_LAG": "0.5",
            "GUNICORN_WORKERS": "1",
        },
    )
    try:
        product.start("api")
        customer = Customer(product, primary)
        replica.launch()
        replica.wait_until_ready()
        assert wait_for(customer.asks_the_replica, seconds=60)
        execute(replica.port, "SELECT pg_wal_replay_pause()")
        customer.add_account()
        assert wait_for(lambda: not customer.asks_the_replica(), seconds=60)
        assert customer.accounts() == 1
    finally:
        product.stop()
