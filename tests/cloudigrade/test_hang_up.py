"""Clients that hang up end their statements: a real gunicorn, a real database (spec 11 §4, 4)."""

import socket
from contextlib import contextmanager
from urllib.parse import quote

import psycopg2
import pytest
import requests
from django.db import connection

from deployment.local.ports import LOOPBACK
from tests import factories
from tests.api.public.callers import caller_for
from tests.cloudigrade.conftest import gunicorn_on_the_tests_database
from tests.deployment.processes import wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
]

BASE = "/api/cloudigrade/v2"
ROWS = 100_000
NEVER = {
    "DJANGO_DATABASE_LOCK_TIMEOUT": "0",
    "DJANGO_DATABASE_API_STATEMENT_TIMEOUT": "0",
    "DJANGO_DATABASE_IDLE_TRANSACTION_TIMEOUT": "0",
}
"""No statement ends by itself, so whatever ends one has noticed that its client is gone."""


@pytest.fixture(scope="module")
def port(tmp_path_factory, django_db_setup):
    folder = tmp_path_factory.mktemp("gunicorn")
    with gunicorn_on_the_tests_database(folder, **NEVER) as (port, _):
        yield port


@contextmanager
def second_session():
    """Open a connection to the database that no request uses."""
    settings = connection.get_connection_params()
    settings.pop("cursor_factory", None)
    session = psycopg2.connect(**settings)
    try:
        yield session
    finally:
        session.close()


def requests_at_work(session) -> int:
    """Return how many other sessions are in the middle of a statement."""
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'active' AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


def request(port, path, *, headers, more="", receive_buffer=0):
    """Send a request and leave its answer to the caller."""
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(60)
    client.connect((LOOPBACK, port))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    client.sendall(f"GET {BASE}{path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{more}".encode())
    return client


@pytest.fixture
def watcher():
    """A session of PostgreSQL that sees what others do at any time."""
    with second_session() as session:
        session.autocommit = True
        yield session


@contextmanager
def locked(*tables):
    """Let whoever reads these tables wait."""
    with second_session() as session:
        with session.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            yield
        session.rollback()


def is_alive(port, headers) -> bool:
    answer = requests.get(f"http://{LOOPBACK}:{port}{BASE}/accounts/", headers=headers, timeout=60)
    return answer.status_code == 200


PATHS = [
    "/instances/?include=state",
    "/images/",
    f"/usage/?granularity=hour&filter{quote('[')}region{quote(']')}=us-east-1",
    "/billing-findings/",
    "/export/runs.csv",
    "/export/instances.ndjson",
    "/export/usage.csv",
]


def test_4_who_leaves_before_the_answer_begins_ends_the_statement(port, watcher):
    """Acceptance 4: pages and exports whose first statement still goes on."""
    instance = factories.make_instance()
    headers = caller_for(instance.cloud_account.user).headers
    with locked("api_instance", "api_run"):
        for path in PATHS:
            client = request(port, path, headers=headers)
            assert wait_for(lambda: requests_at_work(watcher) == 1), path
            client.close()
            assert wait_for(lambda: requests_at_work(watcher) == 0), path
        # One that has sent its next request already, too.
        client = request(port, PATHS[0], headers=headers, more="GET / HTTP/1.1\r\n")
        assert wait_for(lambda: requests_at_work(watcher) == 1)
        client.close()
        assert wait_for(lambda: requests_at_work(watcher) == 0)
        assert is_alive(port, headers)


def test_4_who_waits_gets_the_answer_however_long_it_takes(port, watcher):
    """Looking after clients does not disturb those who are there."""
    instance = factories.make_instance()
    headers = caller_for(instance.cloud_account.user).headers
    with locked("api_instance"):
        waiting = request(port, "/instances/", headers=headers)
        leaving = request(port, "/instances/", headers=headers)
        assert wait_for(lambda: requests_at_work(watcher) == 2)
        leaving.close()
        assert wait_for(lambda: requests_at_work(watcher) == 1)
    with waiting:
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/instances/", "/export/runs.csv"])
def test_4_who_has_only_closed_his_sending_side_gets_the_answer(port, watcher, path):
    """Issue 14: ``nc -N`` and some libraries say so that they have no more to say."""
    instance = factories.make_instance()
    headers = caller_for(instance.cloud_account.user).headers
    with locked("api_instance", "api_run"):
        client = request(port, path, headers={**headers, "Connection": "close"})
        client.shutdown(socket.SHUT_WR)
        assert wait_for(lambda: requests_at_work(watcher) == 1)
        # We were noticed, and asked whether we are there.
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        leaving = request(port, path, headers=headers)
        assert wait_for(lambda: requests_at_work(watcher) == 2)
        leaving.close()
        assert wait_for(lambda: requests_at_work(watcher) == 1)
    with client, client.makefile("rb") as answer:
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        assert answer.read()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_4_who_leaves_in_mid_export_ends_the_statement(port, watcher, encoding):
    """Acceptance 4: part of the rows have been sent, and the client takes no more of them."""
    instance = factories.make_instance()
    user = instance.cloud_account.user
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO api_run (instance_id, cloud_account_id, start_time, end_time,"
            " instance_type, created_at, updated_at)"
            " SELECT %s, %s, '2020-01-01Z'::timestamptz + n * interval '1 minute',"
            " '2020-01-01Z'::timestamptz + n * interval '1 minute 1 second', md5(n::text),"
            " now(), now() FROM generate_series(1, %s) n",
            [instance.id, instance.cloud_account_id, ROWS],
        )
    headers = {**caller_for(user).headers, "Accept-Encoding": encoding}
    client = request(port, "/export/runs.csv", headers=headers, receive_buffer=4096)
    assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
    assert wait_for(lambda: requests_at_work(watcher) == 1)
    client.close()
    assert wait_for(lambda: requests_at_work(watcher) == 0)
    assert is_alive(port, headers)
