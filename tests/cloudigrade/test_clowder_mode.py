"""Settings in Clowder mode (08 §5)."""

import copy
import json
from pathlib import Path

import pytest

from tests.cloudigrade.clowder import CDAPPCONFIG
from tests.cloudigrade.programs import problems_of, settings_of

# What Clowder supersedes: literals that a manifest's template left unresolved.
SUPERSEDED = {
    "DJANGO_DATABASE_NAME": None,
    "DJANGO_DATABASE_USER": None,
    "DJANGO_DATABASE_PASSWORD": None,
    "DJANGO_DATABASE_HOST": "elsewhere",
    "DJANGO_DATABASE_PORT": "${DJANGO_DATABASE_PORT}",
    "REDIS_PORT": "${REDIS_PORT}",
    "KAFKA_SERVER_PORT": "${KAFKA_SERVER_PORT}",
    "CLOUDIGRADE_VERSION": "${CLOUDIGRADE_VERSION}",
}


@pytest.fixture
def clowder(tmp_path):
    """Read settings with a changed copy of Clowder's file."""

    def read(*names, change=lambda data: None, **changes):
        data = copy.deepcopy(CDAPPCONFIG)
        change(data)
        path = tmp_path / "cdappconfig.json"
        path.write_text(json.dumps(data))
        changes = {**SUPERSEDED, "ACG_CONFIG": str(path), "TMPDIR": str(tmp_path), **changes}
        return settings_of("prod", *names, **changes)

    return read


def test_scenario_05_postigrade(clowder):
    def add_postigrade(data):
        data["endpoints"].append(
            {"app": "postigrade", "name": "svc", "hostname": "pg", "port": 8000}
        )

    database = clowder("DATABASES", change=add_postigrade)["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"]) == ("pg", 8000)
    assert [database[name] for name in ("NAME", "USER", "PASSWORD")] == [
        "cloudigrade",
        "user",
        "pw",
    ]
    assert not {"sslmode", "sslrootcert"} & set(database["OPTIONS"])


def test_scenario_09_the_database_comes_from_clowder(clowder):
    found = clowder("DATABASES", DJANGO_DATABASE_CONN_MAX_AGE="7", DJANGO_ATOMIC_REQUESTS="false")
    database = found["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"]) == ("db1", 5432)
    assert (database["CONN_MAX_AGE"], database["ATOMIC_REQUESTS"]) == (7, False)
    assert database["OPTIONS"]["sslmode"] == "verify-full"
    assert Path(database["OPTIONS"]["sslrootcert"]).read_text() == "DATABASE CA"


def test_redis(clowder):
    found = clowder(
        "CELERY_BROKER_URL",
        "CELERY_REDIS_BACKEND_HEALTH_CHECK_INTERVAL",
        REDIS_HOST="elsewhere",
        REDIS_URL="redis://elsewhere",
        REDIS_HEALTH_CHECK_INTERVAL="7",
    )
    assert list(found.values()) == ["redis://u:p@r:6380", 7]


def test_redis_with_tls(clowder):
    found = clowder(
        "REDIS_URL",
        "REDIS_TLS",
        change=lambda data: data["inMemoryDb"].update(sslMode=True),
        REDIS_SSL="false",
    )
    assert found["REDIS_URL"].startswith("rediss://")
    assert found["REDIS_TLS"] == {"ssl_cert_reqs": "required"}


def test_scenario_06_topics(clowder):
    names = ("LISTENER_TOPIC", "SOURCES_STATUS_TOPIC")
    assert list(clowder(*names, LISTENER_TOPIC="mine").values()) == ["x.event", "x.status"]
    found = clowder(*names, change=lambda data: data["kafka"].update(topics=[]), LISTENER_TOPIC="m")
    assert list(found.values()) == ["m", "platform.sources.status"]


def test_scenario_07_kafka(clowder):
    found = clowder(
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SERVER_SECURITY_PROTOCOL",
        "KAFKA_SERVER_SASL_MECHANISM",
        "KAFKA_SERVER_SASL_USERNAME",
        "KAFKA_SERVER_SASL_PASSWORD",
        "KAFKA_SERVER_CA_LOCATION",
    )
    location = found.pop("KAFKA_SERVER_CA_LOCATION")
    assert list(found.values()) == ["k1:9093,k2:9093", "SASL_SSL", "SCRAM-SHA-512", "u", "p"]
    assert Path(location).read_text() == "KAFKA CA"


def test_sources(clowder):
    names = ("SOURCES_API_BASE_URL", "SOURCES_API_VERIFY")
    assert list(clowder(*names, SOURCES_API_BASE_URL="http://e").values()) == [
        "http://s:8000",
        True,
    ]
    found = clowder(
        *names,
        change=lambda data: data.update(endpoints=[]),
        SOURCES_API_BASE_URL="http://elsewhere/",
    )
    assert list(found.values()) == ["http://elsewhere", True]

    def with_tls(data):
        data["tlsCAPath"] = "/ca.pem"
        data["endpoints"][0]["tlsPort"] = 8800

    assert list(clowder(*names, change=with_tls).values()) == ["https://s:8800", "/ca.pem"]


def test_cloudwatch(clowder):
    on = {"CLOUDIGRADE_ENABLE_CLOUDWATCH": "true", "CLOUDIGRADE_CW_STREAM_NAME": "stream"}
    handler = clowder("LOGGING", **on)["LOGGING"]["handlers"]["cloudwatch"]
    assert (handler["access_key_id"], handler["region"]) == ("key", "eu-west-1")
    assert handler["log_group_name"] == "group"
    handler = clowder("LOGGING", CLOUDIGRADE_CW_LOG_GROUP="mine", CW_AWS_REGION_NAME="r", **on)
    handler = handler["LOGGING"]["handlers"]["cloudwatch"]
    assert (handler["log_group_name"], handler["region"]) == ("mine", "r")


def test_missing_sections_are_all_told(tmp_path):
    path = tmp_path / "cdappconfig.json"
    path.write_text("{}")
    told = problems_of("prod", ACG_CONFIG=str(path))
    for section in ("database", "inMemoryDb", "kafka"):
        assert f"section {section} is missing" in told


def test_a_missing_file_is_told(tmp_path):
    told = problems_of("prod", ACG_CONFIG=str(tmp_path / "missing.json"))
    assert "ACG_CONFIG" in told
    assert "cannot be read" in told


def test_an_empty_path_is_no_clowder():
    found = settings_of("prod", "CLOWDER_ENABLED", ACG_CONFIG="")
    assert found == {"CLOWDER_ENABLED": False}
