"""Kafka clients (03 §1.3; 08 §26.7)."""

import os
import uuid

import pytest
from confluent_kafka import Consumer

from util import kafka as kafka_module
from util.kafka import (
    KafkaProducerError,
    connection_config,
    consumer_config,
    producer_config,
    publish,
)

SASL = {
    "KAFKA_BOOTSTRAP_SERVERS": "k1:9093,k2:9093",
    "KAFKA_SERVER_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SERVER_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SERVER_SASL_USERNAME": "u",
    "KAFKA_SERVER_SASL_PASSWORD": "p",
    "KAFKA_SERVER_CA_LOCATION": "/ca.pem",
}


@pytest.fixture
def secured(settings):
    for name, value in SASL.items():
        setattr(settings, name, value)


@pytest.mark.parametrize("config", [lambda: consumer_config("group"), producer_config])
def test_consumer_and_producer_log_in_alike(secured, config):
    expected = {
        "bootstrap.servers": "k1:9093,k2:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "p",
        "ssl.ca.location": "/ca.pem",
    }
    assert expected.items() <= config().items()


def test_what_is_not_set_is_left_to_the_client(settings):
    settings.KAFKA_SERVER_CA_LOCATION = "/ca.pem"
    assert set(connection_config()) == {"bootstrap.servers", "ssl.ca.location"}


def test_a_consumer_misses_nothing(settings):
    settings.KAFKA_SESSION_TIMEOUT_MS = None
    settings.KAFKA_LISTENER_ADDRESS_FAMILY = "v6"
    config = consumer_config("group")
    assert config["auto.offset.reset"] == "earliest"
    assert config["enable.auto.commit"] is False
    assert config["group.id"] == "group"
    assert config["broker.address.family"] == "v6"
    assert "session.timeout.ms" not in config
    settings.KAFKA_SESSION_TIMEOUT_MS = 6000
    assert consumer_config("group")["session.timeout.ms"] == 6000


@pytest.fixture
def _no_producer(monkeypatch):
    monkeypatch.setattr(kafka_module, "_producers", {})


@pytest.mark.usefixtures("_no_producer")
def test_a_published_message_arrives(kafka, settings):
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka
    topic = f"test-{uuid.uuid4()}"
    for number in range(2):
        publish(topic, key="tenant", headers=[("encoding", "json")], value=b"%d" % number)
    assert list(kafka_module._producers) == [os.getpid()]
    consumer = Consumer(consumer_config(f"test-{uuid.uuid4()}"))
    consumer.subscribe([topic])
    found: list[tuple] = []
    while len(found) < 2:
        message = consumer.poll(1)
        if message is not None and not message.error():
            found.append((message.key(), message.headers(), message.value()))
    consumer.close()
    assert found == [
        (b"tenant", [("encoding", b"json")], b"0"),
        (b"tenant", [("encoding", b"json")], b"1"),
    ]


@pytest.mark.usefixtures("_no_producer")
def test_a_broker_that_is_away_is_an_error(settings, monkeypatch):
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9"
    with pytest.raises(KafkaProducerError, match="did not confirm"):
        publish("topic", key=None, headers=[], value=b"lost", timeout=0.2)
    monkeypatch.setattr(kafka_module, "_producers", {})
    monkeypatch.setattr(kafka_module, "DELIVERY_TIMEOUT", 0.2)
    with pytest.raises(KafkaProducerError, match="lost a message"):
        publish("topic", key=None, headers=[], value=b"lost", timeout=20)


@pytest.mark.usefixtures("_no_producer")
def test_a_message_that_is_too_big_is_an_error(settings):
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9"
    with pytest.raises(KafkaProducerError, match="refused"):
        publish("topic", key=None, headers=[], value=b"x" * 2_000_000)


@pytest.mark.usefixtures("_no_producer")
def test_a_forked_child_makes_a_producer_of_its_own(settings, monkeypatch):
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9"
    mine = kafka_module._producer()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert kafka_module._producer() is not mine
    assert mine in kafka_module._producers.values()
