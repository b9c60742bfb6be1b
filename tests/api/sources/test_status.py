"""Statuses for the sources service (spec 03 §7), over a real broker."""

import json
import time

import pytest
from confluent_kafka import Consumer

from api.models import OutboxEntry
from api.sources import status
from api.sources.messages import Tenant
from api.sources.status import notify_available, notify_unavailable, send_status
from util import kafka as util_kafka
from util.kafka import KafkaProducerError

TENANT = Tenant("1701", "3340851")


@pytest.fixture
def topic(settings, request):
    settings.SOURCES_STATUS_TOPIC = f"status-{request.node.name.partition('[')[0]}-{time.time_ns()}"
    return settings.SOURCES_STATUS_TOPIC


def read_all(servers: str, topic: str, count: int) -> list:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "broker.address.family": "v4",
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic])
    found: list = []
    deadline = time.monotonic() + 90
    try:
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
    finally:
        consumer.close()
    return found


def test_scenario_33_headers_name_the_tenant_as_far_as_known(kafka, topic):
    send_status(tenant=TENANT, application_id=11, availability_status="available")
    send_status(
        tenant=Tenant(None, "3340851"),
        application_id="12",
        availability_status="unavailable",
        error="why",
    )
    send_status(tenant=Tenant("1701", None), application_id=11, availability_status="available")
    messages = read_all(kafka, topic, 3)
    by_id = {(m.key(), json.loads(m.value())["resource_id"]): m for m in messages}
    first = by_id[b"3340851", 11]
    assert first.headers() == [
        ("x-rh-sources-account-number", b"1701"),
        ("x-rh-sources-org-id", b"3340851"),
        ("event_type", b"availability_status"),
    ]
    assert json.loads(first.value()) == {
        "resource_type": "Application",
        "resource_id": 11,
        "status": "available",
        "error": "",
    }
    second = by_id[b"3340851", "12"]
    assert second.headers() == [
        ("x-rh-sources-org-id", b"3340851"),
        ("event_type", b"availability_status"),
    ]
    assert json.loads(second.value())["error"] == "why"
    assert (b"1701", 11) in by_id


class TestWithoutBroker:
    @pytest.fixture
    def published(self, monkeypatch):
        found = []
        monkeypatch.setattr(status, "publish", lambda *args, **kwargs: found.append(kwargs))
        return found

    @pytest.mark.parametrize(
        "switch", ["SOURCES_ENABLE_DATA_MANAGEMENT", "SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA"]
    )
    def test_scenario_04_switched_off(self, published, settings, switch):
        setattr(settings, switch, False)
        send_status(tenant=TENANT, application_id=11, availability_status="available")
        assert published == []

    def test_nobody_to_tell(self, published, caplog):
        send_status(tenant=Tenant(None, None), application_id=1, availability_status="available")
        assert published == []
        assert "no tenant" in caplog.text

    def test_broker_error_is_raised(self, monkeypatch, settings):
        settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
        monkeypatch.setattr(util_kafka, "_producers", {})
        monkeypatch.setattr(
            util_kafka, "producer_config", lambda: {"bootstrap.servers": "127.0.0.1:1"}
        )
        publish = status.publish
        monkeypatch.setattr(status, "publish", lambda *a, **k: publish(*a, timeout=0.2, **k))
        with pytest.raises(KafkaProducerError):
            send_status(tenant=TENANT, application_id=11, availability_status="available")


@pytest.mark.django_db
class TestQueueing:
    def test_arguments(self, queued):
        notify_available(tenant=TENANT, application_id=11)
        notify_unavailable(tenant=TENANT, application_id="11", error="why")
        assert [task.args for task in queued.named(status.TASK)] == [
            ("1701", "3340851", 11, "available", ""),
            ("1701", "3340851", "11", "unavailable", "why"),
        ]

    def test_newest_status_of_each_application_is_kept_until_it_is_sent(self, queued):
        notify_available(tenant=TENANT, application_id=11)
        notify_unavailable(tenant=TENANT, application_id=11, error="why")
        notify_available(tenant=TENANT, application_id=12)
        assert len(queued) == 3
        assert sorted(entry.args[2:] for entry in OutboxEntry.objects.all()) == [
            [11, "unavailable", "why"],
            [12, "available", ""],
        ]
