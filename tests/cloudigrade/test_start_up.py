"""What a process says when it starts (08 §8)."""

import logging

import pytest

from cloudigrade.start_up import log_configuration


@pytest.fixture
def said(caplog):
    def say():
        caplog.clear()
        caplog.set_level(logging.INFO, "cloudigrade")
        log_configuration()
        return [record.getMessage() for record in caplog.records]

    return say


def test_settings_are_told_and_secrets_are_not(said, settings):
    settings.REDIS_URL = "redis://u:hunter2@r:6380"
    settings.KAFKA_BOOTSTRAP_SERVERS = "k:9093"
    [block] = said()
    assert "Redis: redis://r:6380" in block
    assert "Kafka: k:9093" in block
    assert "CLOUDIGRADE_ENVIRONMENT=test" in block
    assert "KAFKA_SERVER_SASL_PASSWORD absent" in block
    assert "Clowder off" in block
    assert "hunter2" not in block


def test_production_is_warned_of_open_hosts(said, settings):
    settings.IS_PRODUCTION = True
    settings.ALLOWED_HOSTS = ["cloudigrade"]
    assert len(said()) == 1
    settings.ALLOWED_HOSTS = ["*"]
    assert "DJANGO_ALLOWED_HOSTS" in said()[1]
