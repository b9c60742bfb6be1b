"""Usage over Kafka by the product's own processes (spec 14, acceptance 2)."""

from contextlib import closing

import psycopg2
import pytest

from deployment.local.app import Product
from deployment.local.http import local_session
from deployment.local.local_services import LocalServices
from tests.api.push.broker import events, received
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

TOPIC = "platform.cloudigrade.usage"
DAYS = 5
NEW_CUSTOMER = f"""
INSERT INTO api_user (password, is_superuser, uuid, account_number, org_id, date_joined, is_active,
                      is_permanent)
VALUES ('', false, 'the-customer', '1701', '3340851', now() - interval '{DAYS} days', false, true)
"""


@pytest.fixture
def services():
    """Everything that the product needs, but for Kafka, which is not there yet."""
    found = LocalServices(["postgres", "valkey", "kafka"], environment={})
    found.start("postgres", "valkey")
    yield found
    found.stop()


@pytest.fixture
def product(services):
    product = Product(
        services,
        settings={
            "USAGE_PUSH": "on",
            "CLOUDIGRADE_ENVIRONMENT": "test",
            "RECALCULATE_CONCURRENT_USAGE_FOR_ALL_USERS_SCHEDULE": "3",
        },
    )
    product.start("api", "worker", "beat")
    yield product
    product.stop()


def waiting(product):
    with local_session() as session:
        text = session.get(f"{product.url}/internal/metrics", timeout=30).text
    rows = [line for line in text.splitlines() if line.startswith("cloudigrade_push_outbox_rows ")]
    return [float(line.split()[-1]) for line in rows]


def test_kafka_may_be_away_when_usage_changes(services, product):
    """14 acceptance 2: rows wait, and each is delivered once Kafka is there."""
    address = services.embedded["postgres"].address
    with closing(psycopg2.connect(address)) as database, database, database.cursor() as cursor:
        cursor.execute(NEW_CUSTOMER)
    assert wait_for(lambda: waiting(product) == [DAYS], seconds=120)
    services.start("kafka")
    found = events(received(services.embedded["kafka"].address, TOPIC, at_least=DAYS, seconds=180))
    assert len({event["id"] for event in found}) == len(found) == DAYS
    assert {event["data"]["revision"] for event in found} == {1}
    assert {event["data"]["org_id"] for event in found} == {"3340851"}
    assert {event["source"] for event in found} == {"urn:redhat:source:cloudigrade:test"}
    assert wait_for(lambda: waiting(product) == [0], seconds=60)
