"""A PostgreSQL that does not answer."""

import pytest
from django.db import OperationalError, connection, transaction
from psycopg2 import extensions

from util.postgres import limit_waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def usual_waiting():
    yield
    extensions.set_wait_callback(None)
    connection.close()


def ask(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_what_takes_too_long_fails_and_the_next_statement_does_not():
    limit_waiting(1, is_hurried=lambda: False, hurried_seconds=0.5)
    assert ask("SELECT 1") == 1
    with pytest.raises(OperationalError, match="no answer in 1 seconds"):
        ask("SELECT pg_sleep(3)")
    assert ask("SELECT 2") == 2


def test_new_connections_work_too():
    connection.close()
    limit_waiting(5, is_hurried=lambda: False, hurried_seconds=1)
    assert ask("SELECT repeat('x', 1000000)") == "x" * 1_000_000


def test_there_is_less_time_when_in_a_hurry():
    hurried = []
    limit_waiting(60, is_hurried=lambda: bool(hurried), hurried_seconds=0.5)
    assert ask("SELECT 1") == 1
    hurried.append(True)
    with pytest.raises(OperationalError, match="no answer"):
        ask("SELECT pg_sleep(3)")
