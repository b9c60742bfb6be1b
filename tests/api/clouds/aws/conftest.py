"""The fake AWS for these tests, and a look at what we ask of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from api.clouds.aws.cloudtrail import enrich, read
from api.clouds.aws.provisioning import queues
from api.clouds.aws.session import clients
from deployment.local.aws import AwsControl
from tests.api.clouds.aws.lent_clients import LentClients
from tests.api.clouds.aws.testbed import BUCKET, LogsInMemory, Testbed, make_account
from tests.celery_fixtures import Queued


class Request(NamedTuple):
    """One call of an AWS client, with its parameters."""

    service: str
    action: str
    parameters: dict[str, Any]


_make_client = clients._make
_lent_clients = LentClients(_make_client)


@pytest.fixture
def aws(aws: AwsControl, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsControl]:
    """An empty fake AWS of which this process remembers nothing; calls are not repeated."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(clients, "_make", _lent_clients.make)
    clients._roles.clear()
    clients._clients.clear()
    queues.urls.forget()
    yield aws
    clients._clients.clear()
    _lent_clients.take_back()


@pytest.fixture
def events(aws: AwsControl, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The events of all clients that are made from now on; none that was made before is used."""
    monkeypatch.setattr(clients, "_make", _make_client)
    return clients._session.events


@pytest.fixture
def requests(events: Any) -> Iterator[list[Request]]:
    """The calls that our clients made, in order; a call that is answered by a page is one each."""
    made: list[Request] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        made.append(Request(model.service_model.service_name, model.name, dict(params)))

    events.register("before-parameter-build", note, unique_id="tests")
    yield made
    events.unregister("before-parameter-build", unique_id="tests")


@pytest.fixture
def bucket(aws: AwsControl) -> AwsControl:
    """An AWS in which the bucket for trails is all we have."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    return aws


@pytest.fixture
def pipes_ready(aws: AwsControl) -> AwsControl:
    """Buckets and queues as the infrastructure code makes them."""
    aws.provision_primary_account("test")
    # Making the buckets sends test messages, which most tests have no use for.
    sqs = aws.client("sqs")
    for url in sqs.list_queues()["QueueUrls"]:
        sqs.purge_queue(QueueUrl=url)
    return aws


@pytest.fixture
def testbed(pipes_ready: AwsControl, db: None, monkeypatch: pytest.MonkeyPatch) -> Testbed:
    """An account that has been metered since the beginning of 2020, and the way to its logs."""
    monkeypatch.setattr(queues, "LONG_POLL", 0)
    # The tests announce by themselves what they put into the bucket.
    pipes_ready.client("s3").put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={}
    )
    return Testbed(pipes_ready, make_account())


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch, queued: Queued) -> LogsInMemory:
    """A bucket for logs that is only in memory; beside it there is an EC2 that knows nothing."""
    memory = LogsInMemory()
    monkeypatch.setattr(read, "fetch", memory.fetch)
    monkeypatch.setattr(enrich, "describe_instances", lambda *_: iter(()))
    monkeypatch.setattr(enrich, "describe_images", lambda *_: iter(()))
    return memory
