"""A database that is away for a while, and what waits in SQS meanwhile (decision 44)."""

import os
import signal
from contextlib import closing, contextmanager

import pytest

from deployment.local.app import Product
from deployment.local.aws import AwsControl
from deployment.local.local_services import LocalServices
from tests.deployment.processes import away, wait_for
from tests.generators import cloudtrail as trail

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow]

QUEUE = "local-cloudigrade-cloudtrail-s3"
MESSAGES = 5


@pytest.fixture(scope="module")
def services():
    with LocalServices(["postgres", "valkey", "aws"], environment={}) as started:
        yield started


@pytest.fixture
def aws(services):
    with closing(AwsControl(services.env["AWS_ENDPOINT_URL"])) as control:
        control.reset()
        yield control


@pytest.fixture
def worker(services, aws):
    """A worker of a product whose queues give up a message that was received in vain twice."""
    settings = {
        "CLOUDIGRADE_ENVIRONMENT": "local",
        "AWS_SQS_MAX_RECEIVE_COUNT": "2",
        "AWS_CLOUDTRAIL_EVENT_QUEUE_VISIBILITY_TIMEOUT": "1",
        "ANALYZE_LOG_SCHEDULE": "1",
    }
    product = Product(services, settings=settings)
    product.start("worker", "beat")
    product.manage("configurequeues")
    yield product.processes()["worker"]
    product.stop()


@contextmanager
def hanging(service):
    """New connections get no answer: PostgreSQL's first process stands still, and it alone."""
    os.killpg(service.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(service.process.pid, signal.SIGCONT)


def lengths(aws):
    """How many messages are on the queue, and how many were given up."""
    sqs = aws.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return [
        sum(
            int(count)
            for count in sqs.get_queue_attributes(
                QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=names
            )["Attributes"].values()
        )
        for name in (QUEUE, f"{QUEUE}-dlq")
    ]


def receives(aws):
    return sum(call["action"] == "ReceiveMessage" for call in aws.calls())


@pytest.mark.parametrize("trouble", [away, hanging])
def test_an_outage_uses_up_no_receives(services, aws, worker, trouble):
    assert wait_for(lambda: worker.has_logged("analyze_log"), seconds=90)
    with trouble(services.embedded["postgres"]):
        log = worker.log_file.read_text()

        def failures():
            return worker.log_file.read_text()[len(log) :].count("OperationalError")

        # The one that may have been under way when it began.
        assert wait_for(lambda: failures() >= 1, seconds=120)
        before = receives(aws)
        # A message of our own making may have come just before.
        waiting, _ = lengths(aws)
        sqs = aws.client("sqs")
        for number in range(MESSAGES):
            body = trail.notification("a-bucket", f"AWSLogs/123456789013/{number}")
            url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody=body)
        assert wait_for(lambda: failures() >= 4, seconds=180)
        assert receives(aws) == before
        assert wait_for(lambda: lengths(aws) == [waiting + MESSAGES, 0], seconds=30)
    assert wait_for(lambda: lengths(aws) == [0, 0], seconds=120)
