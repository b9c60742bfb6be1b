"""postigrade, PgBouncer between cloudigrade and its database (08 §16)."""

import configparser
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from deployment.local.local_services import LocalServices
from deployment.local.postgres import find_binaries
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import free_port
from tests.deployment.manifests import POSTIGRADE, named, process
from tests.deployment.processes import clean_environment

FOLDER = REPOSITORY / "deployment" / "postigrade"
NOBODY = 65_534
DATABASE = {
    **{"DB_HOST": "db.test", "DB_NAME": "cloudigrade", "DB_USER": "user"},
    "DB_PASSWORD": "pass\"word'",
}
CLOWDER = {
    "webPort": 8000,
    "database": {
        **{"hostname": "127.0.0.1", "port": 5432, "name": "cloudigrade"},
        **{"username": "user", "password": "password"},
        **{"sslMode": "verify-full", "rdsCa": "-----BEGIN CERTIFICATE-----\n"},
    },
}


@pytest.fixture
def start(tmp_path):
    """Run the start script with a PgBouncer that only tells what it was called with."""
    program = tmp_path / "bin" / "pgbouncer"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)

    def run(**variables):
        environment = {
            "PATH": f"{program.parent}{os.pathsep}{os.defpath}",
            "RUN_DIRECTORY": str(tmp_path / "run"),
            **variables,
        }
        return subprocess.run(
            [sys.executable, FOLDER / "start.py"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def written(tmp_path):
    """What the start script left for PgBouncer."""

    def read(name):
        return (tmp_path / "run" / name).read_text()

    return read


def settings_of(text):
    parser = configparser.ConfigParser(strict=True)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def test_from_variables(start, written, tmp_path):
    done = start(**DATABASE)
    assert done.stdout.split() == [str(tmp_path / "run" / "pgbouncer.ini")], done.stderr
    found = settings_of(written("pgbouncer.ini"))
    assert dict(found["databases"]) == {
        "cloudigrade": "host='db.test' port=5432 dbname='cloudigrade'"
    }
    assert dict(found["pgbouncer"]) == {
        "listen_addr": "0.0.0.0",
        "listen_port": "5432",
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(tmp_path / "run" / "userlist.txt"),
        "admin_users": "postgres",
        "pool_mode": "session",
        "ignore_startup_parameters": "extra_float_digits",
    }
    assert written("userlist.txt") == '"user" "pass""word\'"\n'


def test_what_may_be_chosen(start, written):
    done = start(**DATABASE, DB_PORT="6000", DB_SSL_MODE="require", POOL_MODE="transaction")
    assert done.returncode == 0, done.stderr
    found = settings_of(written("pgbouncer.ini"))
    assert "port=6000" in found["databases"]["cloudigrade"]
    assert found["pgbouncer"]["server_tls_sslmode"] == "require"
    assert found["pgbouncer"]["pool_mode"] == "transaction"


def test_only_its_user_may_read_the_password(start, tmp_path):
    start(**DATABASE)
    for file in (tmp_path / "run").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("missing", ["DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD"])
def test_without_a_database_it_ends(start, missing):
    done = start(**{**DATABASE, missing: ""})
    assert done.returncode == 1
    assert missing in done.stderr
    assert "pass" not in done.stderr.replace("DB_PASSWORD", "")


@pytest.fixture
def clowder(tmp_path):
    """Write Clowder's file; the database is told to be on the given port."""

    def write(port, web_port=8000, **database):
        path = tmp_path / "cdappconfig.json"
        content = {
            "webPort": web_port,
            "database": CLOWDER["database"] | {"port": port} | database,
        }
        path.write_text(json.dumps(content))
        path.chmod(0o644)
        return str(path)

    return write


def test_from_clowder(start, written, clowder, tmp_path, postgres):
    port = int(os.environ["DJANGO_DATABASE_PORT"])
    done = start(**DATABASE, ACG_CONFIG=clowder(port))
    assert done.returncode == 0, done.stderr
    found = settings_of(written("pgbouncer.ini"))
    assert f"host='127.0.0.1' port={port} " in found["databases"]["cloudigrade"]
    settings = found["pgbouncer"]
    assert settings["listen_port"] == "8000"
    assert settings["server_tls_sslmode"] == "verify-full"
    assert settings["server_tls_ca_file"] == str(tmp_path / "run" / "ca.pem")
    assert written("ca.pem") == CLOWDER["database"]["rdsCa"]
    assert written("userlist.txt") == '"user" "password"\n'


def test_with_clowder_it_waits_for_the_database(clowder, tmp_path):
    waiting = subprocess.Popen(
        [sys.executable, FOLDER / "start.py"],
        env={"ACG_CONFIG": clowder(free_port()), "RUN_DIRECTORY": str(tmp_path / "run")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "Waiting for 127.0.0.1" in waiting.stderr.readline()
        assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.communicate()


@pytest.fixture
def services(tmp_path):
    with LocalServices(["postgres"], environment={}, scratch_parent=tmp_path) as started:
        yield started


def python_for_everybody():
    """A Python that every user may run; the script needs nothing but Python."""
    for program in (Path(sys.executable).resolve(), Path("/usr/bin/python3")):
        if program.exists() and others_may_enter(program):
            return program
    pytest.skip("PgBouncer does not run as root, and nobody else may run a Python here")


def others_may_enter(path):
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


@pytest.fixture
def postigrade(pgbouncer_program, services, clowder):
    """The port and the folder of a postigrade before the embedded PostgreSQL."""
    is_root = os.geteuid() == 0
    port = free_port()
    folder = services.surroundings.folder_for_everybody("postigrade")
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
    configuration = clowder(
        int(services.env["DJANGO_DATABASE_PORT"]),
        port,
        **{"name": "postgres", "username": "postgres", "password": "s3cret", "sslMode": "disable"},
        rdsCa=None,
    )
    for file in (configuration, FOLDER / "start.py"):
        shutil.copy(file, folder)
    program = ManagedProcess(
        name="postigrade",
        command=[python_for_everybody(), folder / "start.py"],
        log_file=services.surroundings.log_file("postigrade"),
        watchdog=services.surroundings.watchdog,
        environment=clean_environment(
            PATH=f"{pgbouncer_program.parent}{os.pathsep}{os.environ['PATH']}",
            ACG_CONFIG=str(folder / "cdappconfig.json"),
            RUN_DIRECTORY=str(folder / "run"),
        ),
        directory=folder,
        run_as=NOBODY if is_root else None,
    )
    program.start()
    program.wait_until(lambda: program.has_logged("process up"), timeout=30)
    yield port, folder / "run"
    program.stop()


def connect(port, password):
    return psycopg2.connect(
        host="127.0.0.1", port=port, dbname="postgres", user="postgres", password=password
    )


@pytest.mark.services
@pytest.mark.slow
def test_clients_come_through_it_with_their_password(postigrade):
    port, folder = postigrade
    with connect(port, "s3cret") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_user")
        assert cursor.fetchone() == ("postgres", "postgres")
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        connect(port, "wrong")
    for probe, command in probes().items():
        program = find_binaries() / command[0]
        done = subprocess.run(
            [program, *command[1:]],
            env=clean_environment(PGSERVICEFILE=str(folder / "pg_service.conf")),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (probe, done.stderr)


def deployment():
    [app] = process(POSTIGRADE, ENV_NAME="stage", IMAGE_TAG="1234567")
    [found] = app["spec"]["deployments"]
    return found


def probes():
    pod = deployment()["podSpec"]
    return {kind: pod[kind]["exec"]["command"] for kind in ("livenessProbe", "readinessProbe")}


def test_the_template():
    objects = process(POSTIGRADE, ENV_NAME="stage", IMAGE_TAG="1234567")
    spec = named(objects, "ClowdApp", "postigrade")["spec"]
    assert (spec["envName"], spec["database"]) == ("stage", {"sharedDbAppName": "cloudigrade"})
    # Clowder shares the database of those apps only that are depended on.
    assert spec["dependencies"] == ["cloudigrade"]
    svc = deployment()
    assert (svc["name"], svc["minReplicas"]) == ("svc", 1)
    assert svc["webServices"] == {"public": {"enabled": True}}
    assert svc["podSpec"]["resources"] == {
        "requests": {"cpu": "200m", "memory": "128Mi"},
        "limits": {"cpu": "400m", "memory": "256Mi"},
    }
    for kind in ("livenessProbe", "readinessProbe"):
        timing = {key: value for key, value in svc["podSpec"][kind].items() if key != "exec"}
        assert timing == {
            **{"initialDelaySeconds": 5, "periodSeconds": 10},
            **{"timeoutSeconds": 1, "failureThreshold": 3},
        }


def test_its_image_leaves_the_service_where_probes_look():
    text = (FOLDER / "Dockerfile").read_text()
    [folder] = re.findall(r"RUN_DIRECTORY=(\S+)", text)
    assert f"PGSERVICEFILE={folder}/pg_service.conf" in text
    assert "USER 1001:0" in text
