import time

import pytest

from api.models import UsageOutboxEntry
from api.push.publisher import publish
from tests.api.metering.conftest import environment  # noqa: F401
from tests.api.push.broker import events, received
from util import kafka as util_kafka


@pytest.fixture(autouse=True)
def own_producer(monkeypatch):
    """A producer that knows the broker that the test chose."""
    monkeypatch.setattr(util_kafka, "_bulk_producers", {})


@pytest.fixture
def pushing(settings, kafka):
    """Usage is told to a topic of the test's own."""
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka
    settings.USAGE_PUSH = True
    settings.KAFKA_USAGE_TOPIC = f"usage-{time.time_ns()}"
    return settings


class Topic:
    """The topic and its publisher."""

    def __init__(self, settings):
        self._settings = settings

    def publish(self):
        """Do what the periodic task does, and what it does half a minute later."""
        UsageOutboxEntry.objects.update(leased_until=None)
        return publish()

    def messages(self, at_least=0):
        return received(
            self._settings.KAFKA_BOOTSTRAP_SERVERS,
            self._settings.KAFKA_USAGE_TOPIC,
            at_least=at_least,
        )

    def events(self, at_least=0):
        return events(self.messages(at_least))


@pytest.fixture
def topic(pushing):
    return Topic(pushing)


@pytest.fixture
def broker_away(pushing, monkeypatch):
    """Until the function that this is gets called, nobody answers at the broker's address."""
    address = pushing.KAFKA_BOOTSTRAP_SERVERS
    pushing.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    monkeypatch.setattr(util_kafka, "BULK_DELIVERY_TIMEOUT", 1)

    def come_back():
        monkeypatch.setattr(util_kafka, "BULK_DELIVERY_TIMEOUT", 5)
        monkeypatch.setattr(util_kafka, "_bulk_producers", {})
        pushing.KAFKA_BOOTSTRAP_SERVERS = address

    return come_back
