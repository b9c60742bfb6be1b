"""The product behind PgBouncer in transaction mode (08 §16)."""

import os
import subprocess
import sys

import psycopg2
import pytest

from deployment.local.app import Product
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import free_port
from tests.deployment.processes import clean_environment

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
