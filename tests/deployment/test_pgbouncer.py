"""The product behind PgBouncer in transaction mode (08 §16)."""

import os
import subprocess
import sys
from contextlib import contextmanager

import psycopg2
import pytest
import requests

from deployment.local.app import Product
from deployment.local.http import local_session
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import free_port
from tests.deployment.processes import clean_environment, wait_for

NOBODY = 65_534
SERVER_CONNECTIONS = 3

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def pooler(pgbouncer_program, services):
    """The port of a PgBouncer with fewer connections than the product has processes."""
    port = free_port()
    folder = services.surroundings.folder_for_everybody("pgbouncer")
    configuration = folder / "pgbouncer.ini"
    users = folder / "userlist.txt"
    users.write_text('"postgres" "postgres"\n')
    configuration.write_text(
        "[databases]\n"
        f"* = host=127.0.0.1 port={services.env['DJANGO_DATABASE_PORT']}\n"
        "[pgbouncer]\n"
        "listen_addr = 127.0.0.1\n"
        f"listen_port = {port}\n"
        "unix_socket_dir =\n"
        "auth_type = plain\n"
        f"auth_file = {users}\n"
        "admin_users = postgres\n"
        "pool_mode = transaction\n"
        f"default_pool_size = {SERVER_CONNECTIONS}\n"
        "max_client_conn = 100\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    for file in (configuration, users):
        file.chmod(0o644)
    process = ManagedProcess(
        name="PgBouncer",
        command=[pgbouncer_program, configuration],
        log_file=services.surroundings.log_file("pgbouncer"),
        watchdog=services.surroundings.watchdog,
        directory=folder,
        run_as=NOBODY if os.geteuid() == 0 else None,
    )
    process.start()
    process.wait_until(lambda: process.has_logged("process up"), timeout=20)
    yield port
    process.stop()


def clients_and_servers(port):
    """How many connections the pooler has to the product, and how many to PostgreSQL."""
    connection = psycopg2.connect(
        host="127.0.0.1", port=port, dbname="pgbouncer", user="postgres", password="postgres"
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SHOW CLIENTS")
        clients = [row for row in cursor.fetchall() if row[2] == "postgres"]
        cursor.execute("SHOW SERVERS")
        servers = cursor.fetchall()
    connection.close()
    return len(clients), len(servers)


def test_all_processes_share_fewer_connections_than_they_are(services, pooler):
    product = Product(
        services,
        settings={
            "DJANGO_DATABASE_HOST": "127.0.0.1",
            "DJANGO_DATABASE_PORT": str(pooler),
            "DJANGO_DATABASE_CONN_MAX_AGE": "600",
            "GUNICORN_WORKERS": "4",
        },
    )
    smoke = [sys.executable, REPOSITORY / "deployment" / "scripts" / "smoke.py", product.url]
    environment = clean_environment(NO_PROXY="127.0.0.1")
    try:
        product.start()
        running = [
            subprocess.Popen(smoke, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(6)
        ]
        outputs = [process.communicate(timeout=120)[0] for process in running]
        assert [process.returncode for process in running] == [0] * 6, outputs
        product.check()
        clients, servers = clients_and_servers(pooler)
    finally:
        product.stop()
    assert clients > SERVER_CONNECTIONS >= servers


def test_migrations_take_their_lock_through_the_pooler(services, pooler):
    product = Product(
        services,
        settings={"DJANGO_DATABASE_HOST": "127.0.0.1", "DJANGO_DATABASE_PORT": str(pooler)},
    )
    product.manage("initialize", "--wait", "30")
    product.manage("migrate", "--check")


@contextmanager
def connected(port):
    """A connection of our own, to PostgreSQL or to the pooler."""
    connection = psycopg2.connect(
        host="127.0.0.1", port=port, dbname="postgres", user="postgres", password="postgres"
    )
    try:
        yield connection
    finally:
        connection.close()


def limits_found(port):
    """The limits that whoever comes next finds in each of the pooler's server connections."""
    found = set()
    with connected(port) as first, connected(port) as second, connected(port) as third:
        for one in (first, second, third):
            with one.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_backend_pid(), current_setting('lock_timeout'),"
                    " current_setting('statement_timeout'),"
                    " current_setting('idle_in_transaction_session_timeout')"
                )
                found.add(cursor.fetchone())
    return found


def test_no_transaction_waits_for_ever_and_limits_stay_with_their_transactions(services, pooler):
    """Decision 42: a held lock is a 503 of the API and a repetition of a worker's task."""
    product = Product(
        services,
        settings={
            "DJANGO_DATABASE_HOST": "127.0.0.1",
            "DJANGO_DATABASE_PORT": str(pooler),
            "DJANGO_DATABASE_LOCK_TIMEOUT": "1",
        },
    )
    api = f"{product.url}/internal/api/cloudigrade/v1"
    try:
        product.start("api", "worker")
        with local_session() as session:
            user = session.post(f"{api}/users/", json={"account_number": "1701"}).json()

            def delete():
                return session.delete(f"{api}/users/{user['id']}/", timeout=60)

            with connected(services.env["DJANGO_DATABASE_PORT"]) as holder:
                with holder.cursor() as cursor:
                    cursor.execute("SELECT FROM api_user WHERE id = %s FOR UPDATE", [user["id"]])
                answer = delete()
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
                assert answer.json() == {"detail": "The service is busy, try again later."}
                started = session.post(
                    f"{product.url}/internal/tasks/",
                    json={
                        "task_name": "api.tasks.recalculate_concurrent_usage_for_user_id",
                        "kwargs": {"user_id": user["id"]},
                    },
                ).json()
                worker = product.processes()["worker"]
                assert wait_for(lambda: worker.has_logged("lock timeout"), seconds=60)
                assert session.get(f"{api}/users/{user['id']}/", timeout=60).ok
            url = f"{product.url}/internal/tasks/{started['async_result_id']}/"
            assert wait_for(lambda: session.get(url).json().get("ready"), seconds=120)
            rows = session.get(f"{api}/concurrentusages/", params={"user": user["id"]}).json()
            assert rows["meta"]["count"] == 1
            assert delete().status_code == requests.codes.accepted
        found = limits_found(pooler)
        assert len(found) == SERVER_CONNECTIONS
        assert {limits[1:] for limits in found} == {("0", "0", "0")}
    finally:
        product.stop()
