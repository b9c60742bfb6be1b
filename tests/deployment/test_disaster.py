"""Losing what may be lost, and mending it as docs/operations.rst says (08 §22, DR-1 to DR-4)."""

import os
import subprocess

import pytest

from deployment.local.app import Product
from deployment.local.aws import AwsControl
from deployment.local.http import local_session
from deployment.local.postgres import find_binaries
from tests.deployment.processes import wait_for
from tests.deployment.smoke import smoke
from tests.e2e.deployment import Deployment
from tests.e2e.load import Histories
from tests.e2e.sources_environment import CREATE

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

USER = {"account_number": "1337", "org_id": "7331"}


@pytest.fixture
def product(services):
    product = Product(services, settings={"CLOUDIGRADE_ENVIRONMENT": "lost"})
    product.start()
    yield product
    product.stop()


def works(product):
    """Return whether health, metrics and a task end to end are as they should be."""
    return smoke(product.url, "--task-seconds", "20").returncode == 0


def users(product):
    url = f"{product.url}/internal/api/cloudigrade/v1/users/"
    with local_session() as session:
        return [one["account_number"] for one in session.get(url, timeout=30).json()["data"]]


def add_user(product):
    url = f"{product.url}/internal/api/cloudigrade/v1/users/"
    with local_session() as session:
        assert session.post(url, json=USER, timeout=30).status_code == 201


def lose_redis(services):
    valkey = services.embedded["valkey"]
    valkey.stop()
    valkey.launch()
    valkey.wait_until_ready()


def postgres_program(product, name, *arguments):
    environment = product.environment
    return subprocess.run(
        [
            find_binaries() / name,
            *("-h", environment["DJANGO_DATABASE_HOST"], "-p", environment["DJANGO_DATABASE_PORT"]),
            *("-U", "postgres", *arguments),
        ],
        env={**os.environ, "PGPASSWORD": "postgres"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_redis_is_lost_and_comes_back_empty(services, product):
    assert works(product)
    beat = product.processes()["beat"]
    lose_redis(services)
    assert wait_for(lambda: works(product), seconds=180)
    product.check()
    sent = beat.log_file.read_text().count("Sending due task sweep_inbox")
    assert wait_for(
        lambda: beat.log_file.read_text().count("Sending due task sweep_inbox") > sent, seconds=90
    )


def test_buckets_and_queues_are_lost_and_the_next_deployment_makes_them(services, product):
    aws = AwsControl(services.env["AWS_ENDPOINT_URL"])
    aws.reset()
    product.manage("initialize")
    names = {one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]}
    kinds = ("trails", "inspections", "exports")
    assert names == {f"lost-cloudigrade-{kind}" for kind in kinds}
    assert len(aws.client("sqs").list_queues()["QueueUrls"]) == 4
    [rule] = aws.client("s3").get_bucket_notification_configuration(
        Bucket="lost-cloudigrade-trails"
    )["QueueConfigurations"]
    assert rule["QueueArn"].endswith(":lost-cloudigrade-cloudtrail-s3")
    aws.close()


def test_the_database_is_restored(services, product):
    add_user(product)
    backup = postgres_program(product, "pg_dump", "--format=plain", "--clean", "postgres")
    with local_session() as session:
        [user] = session.get(
            f"{product.url}/internal/api/cloudigrade/v1/users/", timeout=30
        ).json()["data"]
        url = f"{product.url}/internal/api/cloudigrade/v1/users/{user['id']}/"
        assert session.delete(url, timeout=30).status_code == 202
    assert users(product) == []
    file = services.surroundings.folder("backup") / "dump.sql"
    file.write_text(backup)
    postgres_program(product, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file), "postgres")
    product.manage("initialize")
    assert users(product) == ["1337"]
    assert wait_for(lambda: works(product), seconds=120)
    product.check()


class Rehearsal:
    """Counts before and after each loss, compared with what the generators know."""

    def __init__(self, deployment, histories, customers):
        self.deployment, self.histories, self.customers = deployment, histories, customers
        self.messages = 0

    def settle(self, what):
        """Wait until all is done; find everything there once, and tell it."""
        self.deployment.settle(messages=self.messages)
        for customer in self.customers:
            self.histories.verify(customer)
        counts = self.counts()
        print(f"{what}: {counts}")
        return counts

    def counts(self):
        tables = ("user", "cloudaccount", "instance", "instanceevent", "run", "concurrentusage")
        counts = {table: self.deployment.count(f"api_{table}") for table in tables}
        [(total,)] = self.deployment.query(USAGE)
        return counts | {"usage": total}

    def customers_come(self, number):
        for _ in range(number):
            self.deployment.send(self.deployment.new_customer(), CREATE)
        self.messages += number


USAGE = """
SELECT sum((count ->> 5)::integer)
FROM api_concurrentusage, jsonb_array_elements(maximum_counts) AS count
"""


@pytest.fixture
def rehearsal():
    deployment = Deployment()
    try:
        customers = deployment.metered_customers(2)
        yield Rehearsal(deployment, Histories(deployment, customers), customers)
    finally:
        deployment.stop()


def test_what_is_counted_before_a_loss_is_counted_after_it(rehearsal):
    """The runbooks of docs/operations.rst, one after the other; -rP shows the counts."""
    deployment, histories = rehearsal.deployment, rehearsal.histories
    rehearsal.customers_come(2)
    histories.deliver(2)
    rehearsal.settle("in the beginning")

    rehearsal.customers_come(2)
    histories.deliver(2)
    deployment.restart_service("valkey")
    rehearsal.settle("Redis was lost with all queues")

    deployment.lose_log_queue()
    histories.deliver(2)
    since = ("--since", str(histories.day))
    deployment.product.manage("initialize")
    deployment.product.manage("replay_logs", *since)
    rehearsal.settle("the queue of logs was lost with what was on it")

    product = deployment.product
    backup = postgres_program(product, "pg_dump", "--format=plain", "--clean", "postgres")
    at_backup = rehearsal.counts()
    histories.deliver(2)
    before = rehearsal.settle("more came after the back-up of the database")
    assert before["usage"] > at_backup["usage"]
    deployment.end_all()
    file = deployment.services.surroundings.folder("backup") / "dump.sql"
    file.write_text(backup)
    postgres_program(product, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file), "postgres")
    assert rehearsal.counts() == at_backup
    print(f"the back-up is restored: {at_backup}")
    product.manage("initialize")
    product.manage("replay_logs", *since)
    deployment.launch("listener", "worker", "beat")
    assert rehearsal.settle("logs were replayed") == before
