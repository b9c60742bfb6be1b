"""The embedded services: each answers, gives way to a real one, names itself when it fails."""

import os
import signal
import stat
from contextlib import closing
from pathlib import Path

import boto3
import psycopg2
import pytest
import redis
import requests
from confluent_kafka.admin import AdminClient

from deployment.local import kafka, ports, postgres, valkey
from deployment.local.local_services import ALL_SERVICES, LocalServices
from deployment.local.ports import PortReservation, is_listening
from deployment.local.process import LocalServiceError
from tests.deployment.messages import carried
from tests.deployment.processes import is_running, wait_for

pytestmark = pytest.mark.services


def select_version(address):
    with closing(psycopg2.connect(address)) as session, session.cursor() as cursor:
        cursor.execute("SELECT version()")
        (version,) = cursor.fetchone() or ("",)
        return version


def pid_of(service):
    assert service.process is not None
    return service.process.pid


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with LocalServices(
        environment={}, scratch_parent=tmp_path_factory.mktemp("scratch")
    ) as services:
        yield services


def test_postgresql_answers(services):
    assert select_version(services.embedded["postgres"].address).startswith("PostgreSQL 16.")


def test_valkey_answers(services):
    with redis.Redis.from_url(services.embedded["valkey"].address) as client:
        assert client.ping()


def test_kafka_has_the_topics_of_the_sources_service(services):
    client = AdminClient({"bootstrap.servers": services.embedded["kafka"].address})
    topics = client.list_topics(timeout=10).topics
    assert {"platform.sources.event-stream", "platform.sources.status"} <= set(topics)


def test_aws_answers(services):
    sts = boto3.client(
        "sts",
        endpoint_url=services.env["AWS_ENDPOINT_URL"],
        region_name=services.env["AWS_DEFAULT_REGION"],
        aws_access_key_id=services.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=services.env["AWS_SECRET_ACCESS_KEY"],
    )
    assert sts.get_caller_identity()["Account"] == "123456789012"


def test_sources_answers(services):
    url = f"{services.env['SOURCES_API_BASE_URL']}/api/sources/v3.0/sources/1"
    assert requests.get(url, timeout=10).status_code == 404


def test_all_files_are_below_the_scratch_parent(services, tmp_path_factory):
    assert services.surroundings.scratch.parent.parent == tmp_path_factory.getbasetemp()


def test_stop_leaves_no_process_port_or_file(tmp_path):
    services = LocalServices(["valkey", "postgres"], environment={}, scratch_parent=tmp_path)
    services.start()
    pids = [pid_of(service) for service in services.embedded.values()]
    ports = [service.port for service in services.embedded.values()]
    assert all(map(is_running, pids))
    assert all(map(is_listening, ports))
    services.stop()
    assert not any(map(is_running, pids))
    assert not any(map(is_listening, ports))
    assert list(tmp_path.iterdir()) == []
    services.stop()


def test_services_that_were_never_started_leave_nothing(tmp_path):
    services = LocalServices(environment={}, scratch_parent=tmp_path)
    services.stop()
    assert list(tmp_path.iterdir()) == []


def test_services_can_be_started_one_after_the_other(tmp_path):
    services = LocalServices(["valkey", "sources"], environment={}, scratch_parent=tmp_path)
    services.start("valkey")
    assert not is_listening(services.embedded["sources"].port)
    services.start("valkey")
    services.start("sources")
    assert is_listening(services.embedded["sources"].port)
    services.stop()


@pytest.mark.parametrize(
    ("variable", "replaced"),
    [
        ("DJANGO_DATABASE_HOST", "postgres"),
        ("REDIS_HOST", "valkey"),
        ("REDIS_URL", "valkey"),
        ("KAFKA_SERVER_HOST", "kafka"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka"),
        ("AWS_ENDPOINT_URL", "aws"),
        ("SOURCES_API_BASE_URL", "sources"),
    ],
)
def test_a_configured_service_is_not_embedded(variable, replaced):
    services = LocalServices(environment={variable: "somewhere.example.com"})
    assert set(services.embedded) == set(ALL_SERVICES) - {replaced}
    assert variable not in services.env
    services.stop()


def test_a_failing_service_is_named_with_its_last_output_and_takes_all_down(tmp_path, monkeypatch):
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\necho 'no memory for you' >&2\nexit 3\n")
    program.chmod(stat.S_IRWXU)
    monkeypatch.setattr(valkey, "find_server", lambda: program)
    scratch_parent = tmp_path / "scratch"
    scratch_parent.mkdir()
    services = LocalServices(["sources", "valkey"], environment={}, scratch_parent=scratch_parent)
    with pytest.raises(LocalServiceError, match=r"(?s)Valkey.*exit code 3.*no memory for you"):
        services.start()
    assert not is_listening(services.embedded["sources"].port)
    assert list(scratch_parent.iterdir()) == []


def test_a_missing_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(valkey, "find_server", lambda: tmp_path / "nowhere")
    services = LocalServices(["valkey"], environment={}, scratch_parent=tmp_path)
    with pytest.raises(LocalServiceError, match=r"Valkey.*could not be started"):
        services.start()


def test_a_service_that_dies_later_is_noticed(tmp_path):
    with LocalServices(["sources"], environment={}, scratch_parent=tmp_path) as services:
        services.check()
        os.kill(pid_of(services.embedded["sources"]), signal.SIGKILL)
        assert wait_for(lambda: not is_running(pid_of(services.embedded["sources"])))
        with pytest.raises(LocalServiceError, match="Sources API ended"):
            services.check()


def test_a_reserved_port_is_given_to_nobody_else():
    reservations = [PortReservation() for _ in range(20)]
    assert len({reservation.number for reservation in reservations}) == 20
    for reservation in reservations:
        reservation.release()


def test_a_port_is_given_to_nobody_else_while_its_server_starts(monkeypatch):
    reservation, free = PortReservation(), PortReservation()
    numbers = iter([reservation.number, reservation.number, free.number])
    for each in (reservation, free):
        each.release()
    del each, free
    monkeypatch.setattr(ports.random, "randint", lambda _first, _last: next(numbers))
    assert PortReservation().number != reservation.number
    assert not list(numbers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another user")
@pytest.mark.parametrize("copied", [True, False])
def test_root_steps_down_where_user_namespaces_are_forbidden(
    copied, tmp_path, monkeypatch, request
):
    if not copied:
        request.getfixturevalue("unmigrated")
    tmp_path.chmod(0o700)
    monkeypatch.setattr(postgres, "user_namespaces_work", lambda: False)
    with LocalServices(["postgres"], environment={}, scratch_parent=tmp_path) as services:
        assert select_version(services.embedded["postgres"].address).startswith("PostgreSQL")
        assert list(Path("/var/tmp").glob("cloudigrade-*/postgres/data"))
    assert not list(Path("/var/tmp").glob("cloudigrade-*/postgres/data"))


@pytest.mark.parametrize(("fixture", "tables"), [("unmigrated", False), ("tmp_path", True)])
def test_a_new_database_is_empty_and_that_of_tests_is_migrated(fixture, tables, tmp_path, request):
    request.getfixturevalue(fixture)
    with LocalServices(["postgres"], environment={}, scratch_parent=tmp_path) as services:
        address = services.embedded["postgres"].address
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('api_cloudaccount') IS NOT NULL")
            assert cursor.fetchone() == (tables,)


def test_the_mock_cluster_stands_in_where_the_broker_cannot_run(tmp_path, monkeypatch):
    monkeypatch.setattr(kafka, "find_broker", lambda: None)
    with LocalServices(["kafka"], environment={}, scratch_parent=tmp_path) as services:
        address = services.embedded["kafka"].address
        message = carried(address, "platform.sources.event-stream", b"hello")
        assert message is not None
        assert message.value() == b"hello"
