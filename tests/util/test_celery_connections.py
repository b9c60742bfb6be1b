"""A worker keeps its connection to the database from task to task (issue 17)."""

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created

from cloudigrade import celery_app
from tests.threads import in_thread
from util import kept_connections
from util.tasks import task

PROBE = "tests.connections.probe"

pytestmark = pytest.mark.django_db(transaction=True)


@task(PROBE)
def probe(how: str = "") -> int:
    """Return the process of PostgreSQL that serves this task, then end in the way asked for."""
    if how == "transaction":
        transaction.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [process] = cursor.fetchone()
    if how == "failure":
        raise ValueError
    return process


@pytest.fixture
def worker(redis_client, unlimited_afterwards):
    """A worker in a thread."""
    celery_app.conf.task_routes[PROBE] = {}
    with start_worker(celery_app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        yield
    del celery_app.conf.task_routes[PROBE]
    connection_created.disconnect(dispatch_uid=kept_connections.__name__)


def process_of(how: str = "") -> int | None:
    """Run a task to its end."""
    return celery_app.send_task(PROBE, args=[how]).get(timeout=60, propagate=False)


@pytest.fixture
def kept(worker):
    """The process of PostgreSQL that served the first task."""
    assert connections["default"].settings_dict["CONN_MAX_AGE"] > 0
    return process_of()


def test_tasks_share_a_connection(kept):
    assert [process_of(), process_of()] == [kept, kept]


def test_a_connection_that_the_server_ended_is_made_anew(kept):
    def terminate() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 30000)", [kept])
            assert cursor.fetchone()[0]

    in_thread(terminate).result(60)
    assert isinstance(process_of(), int)


@pytest.mark.parametrize("how", ["failure", "transaction"])
def test_what_a_task_leaves_in_disorder_is_not_kept(kept, how):
    process_of(how)
    after = process_of()
    assert isinstance(after, int)
    assert after != kept


def test_without_an_age_each_task_has_its_own_connection(worker, monkeypatch):
    """Behind a pooler of sessions, ``DJANGO_DATABASE_CONN_MAX_AGE`` is 0."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    assert process_of() != process_of()
