"""Clowder's file (08 §5)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from util.clowder import (
    CloudWatchPlace,
    Clowder,
    ClowderError,
    DatabasePlace,
    KafkaPlace,
    certificate_file,
)

DATABASE = {
    "name": "cloudigrade",
    "hostname": "db1",
    "port": 5432,
    "username": "user",
    "password": "pw",
}
POSTIGRADE = {"app": "postigrade", "name": "svc", "hostname": "pg", "port": 8000}


def test_database():
    assert Clowder({"database": DATABASE}).database() == DatabasePlace(
        name="cloudigrade", host="db1", port=5432, user="user", password="pw"
    )


def test_postigrade_replaces_host_and_port_only():
    """08 §26.5."""
    other = {**POSTIGRADE, "name": "metrics", "hostname": "elsewhere"}
    data = {
        "database": {**DATABASE, "sslMode": "verify-full", "rdsCa": "CA"},
        "endpoints": [other, POSTIGRADE],
    }
    assert Clowder(data).database() == DatabasePlace(
        name="cloudigrade", host="pg", port=8000, user="user", password="pw"
    )


def test_tls_to_the_database_itself():
    place = Clowder({"database": {**DATABASE, "sslMode": "verify-full", "rdsCa": "CA"}}).database()
    assert (place.sslmode, place.ca) == ("verify-full", "CA")


def test_redis():
    section = {"hostname": "r", "port": 6380}
    place = Clowder({"inMemoryDb": section}).redis()
    assert (place.host, place.port, place.username, place.password) == ("r", 6380, "", "")
    assert not place.tls
    secured = {**section, "username": "u", "password": "p", "sslMode": True}
    place = Clowder({"inMemoryDb": secured}).redis()
    assert (place.username, place.password, place.tls) == ("u", "p", True)


def test_kafka_with_sasl_and_ca():
    """08 §26.7."""
    broker = {
        "hostname": "k1",
        "port": 9093,
        "cacert": "CA",
        "sasl": {
            "username": "u",
            "password": "p",
            "saslMechanism": "SCRAM-SHA-512",
            "securityProtocol": "SASL_SSL",
        },
    }
    place = Clowder({"kafka": {"brokers": [broker, {"hostname": "k2", "port": 9093}]}}).kafka()
    assert place == KafkaPlace(
        servers=("k1:9093", "k2:9093"),
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="u",
        sasl_password="p",
        ca="CA",
    )


@pytest.mark.parametrize("sasl", [None, {}, {"username": "", "securityProtocol": "SASL_SSL"}])
def test_kafka_without_a_user_takes_the_broker_s_own_protocol(sasl):
    broker = {"hostname": "k", "port": 9093, "sasl": sasl, "securityProtocol": "SSL"}
    place = Clowder({"kafka": {"brokers": [broker]}}).kafka()
    assert place == KafkaPlace(servers=("k:9093",), security_protocol="SSL")


def test_topics():
    """08 §26.6."""
    topics = [{"requestedName": "platform.sources.status", "name": "x.status"}]
    clowder = Clowder({"kafka": {"topics": topics}})
    assert clowder.topic("platform.sources.status", "mine") == "x.status"
    assert clowder.topic("platform.sources.event-stream", "mine") == "mine"
    assert Clowder({}).topic("platform.sources.status", "mine") == "mine"


def test_endpoint_url_is_the_last_one_listed():
    endpoints = [
        {"app": "sources-api", "hostname": "s1", "port": 8000},
        {"app": "other", "hostname": "o", "port": 8000},
        {"app": "sources-api", "hostname": "s2", "port": 8000},
    ]
    assert Clowder({"endpoints": endpoints}).endpoint_url("sources-api") == ("http://s2:8000", None)
    assert Clowder({"endpoints": endpoints}).endpoint_url("missing") is None
    assert Clowder({}).endpoint_url("sources-api") is None


def test_endpoint_url_with_tls():
    endpoint = {"app": "sources-api", "hostname": "s", "port": 8000, "tlsPort": 8800}
    data = {"endpoints": [endpoint], "tlsCAPath": "/ca.pem"}
    assert Clowder(data).endpoint_url("sources-api") == ("https://s:8800", "/ca.pem")
    assert Clowder({"endpoints": [endpoint]}).endpoint_url("sources-api") == (
        "http://s:8000",
        None,
    )


def test_ports():
    clowder = Clowder({"webPort": 8000, "metricsPort": 9000, "metricsPath": "/m"})
    assert (clowder.web_port, clowder.metrics) == (8000, (9000, "/m"))
    assert Clowder({"metricsPort": 9000}).metrics == (9000, "/metrics")
    assert (Clowder({}).web_port, Clowder({}).metrics) == (None, None)


def test_cloudwatch():
    section = {"accessKeyId": "a", "secretAccessKey": "s", "region": "r", "logGroup": "g"}
    place = Clowder({"logging": {"cloudwatch": section}}).cloudwatch()
    assert place == CloudWatchPlace(
        region="r", log_group="g", access_key_id="a", secret_access_key="s"
    )
    assert Clowder({"logging": {"type": "null"}}).cloudwatch() is None


@pytest.mark.parametrize(
    ("read", "data", "told"),
    [
        (Clowder.database, {}, "section database is missing"),
        (Clowder.redis, {"inMemoryDb": None}, "section inMemoryDb is missing"),
        (Clowder.kafka, {"kafka": {"brokers": []}}, "section kafka lacks brokers"),
        (
            Clowder.database,
            {"database": {"name": "n", "hostname": "h", "port": 1}},
            "section database lacks username, password",
        ),
    ],
)
def test_what_is_missing_is_told(read, data, told):
    with pytest.raises(ClowderError, match=told):
        read(Clowder(data))


def test_a_file_that_cannot_be_used_is_told(tmp_path):
    missing, broken, other = tmp_path / "missing", tmp_path / "broken", tmp_path / "other"
    broken.write_text("{")
    other.write_text("[]")
    for path, told in ((missing, "cannot be read"), (broken, "not JSON"), (other, "not a JSON")):
        with pytest.raises(ClowderError, match=told):
            Clowder.load(str(path))


def test_a_file_is_read(tmp_path):
    path = tmp_path / "cdappconfig.json"
    path.write_text(json.dumps({"webPort": 8000}))
    assert Clowder.load(str(path)).web_port == 8000


def test_secrets_do_not_show():
    data = {"database": {**DATABASE, "password": "hunter2"}}
    assert "hunter2" not in repr(Clowder(data).database())


def test_certificates_are_private_files(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = Path(certificate_file("CA"))
    assert path.read_text() == "CA"
    assert path.stat().st_mode & 0o077 == 0


def test_certificates_are_not_left_behind(tmp_path):
    program = "from util.clowder import certificate_file; print(certificate_file('CA'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    told = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert told.startswith(str(tmp_path))
    assert not list(tmp_path.iterdir())
