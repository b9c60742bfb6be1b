"""What a process says when it starts (08 §8)."""

import logging
import subprocess
import sys

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
    """In one line, without what is as ever (operations issue, item 4)."""
    settings.REDIS_URL = "redis://u:hunter2@r:6380"
    settings.KAFKA_BOOTSTRAP_SERVERS = "k:9093"
    settings.MAX_CONCURRENT_INSPECTIONS = 7
    [line] = said()
    assert "Redis redis://r:6380," in line
    assert "Kafka k:9093," in line
    assert "CLOUDIGRADE_ENVIRONMENT=test" in line
    assert "MAX_CONCURRENT_INSPECTIONS=7" in line
    assert "KAFKA_SERVER_SASL_PASSWORD absent" in line
    assert "Clowder off" in line
    assert "hunter2" not in line
    assert "INSPECTION_MAX_SECONDS" not in line
    assert "\n" not in line


def test_production_is_warned_of_open_hosts(said, settings):
    settings.IS_PRODUCTION = True
    settings.ALLOWED_HOSTS = ["cloudigrade"]
    assert len(said()) == 1
    settings.ALLOWED_HOSTS = ["*"]
    assert "DJANGO_ALLOWED_HOSTS" in said()[1]


@pytest.mark.parametrize(
    "load",
    [
        "from cloudigrade.celery import app; app.loader.import_default_modules()",
        "import cloudigrade.wsgi",
    ],
    ids=["worker", "api"],
)
def test_clients_of_clouds_are_not_loaded_before_they_are_used(load):
    """What an idle process holds has a goal (issue 17); the SDKs are its easiest part to miss."""
    heavy = ["boto3", "s3transfer", "azure.mgmt.compute", "confluent_kafka", "sentry_sdk"]
    program = (
        f"{load}\nimport sys\n"
        f"sys.exit(str([one for one in {heavy} if one in sys.modules] or '') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
