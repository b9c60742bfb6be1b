"""PostgreSQL's clock, and a PostgreSQL that does not answer."""

import datetime

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from psycopg2 import extensions

from util import clock
from util.postgres import DatabaseClock, limit_waiting, now

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "SELECT pg_sleep(600)"


@pytest.fixture(autouse=True)
def usual_waiting():
    yield
    extensions.set_wait_callback(None)
    connection.close()
    # The server goes on with what was given up here, and later tests may wait for its transaction.
    ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        f" WHERE query = '{LONG}' AND pid <> pg_backend_pid()"
    )
    connection.close()


def ask(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_what_takes_too_long_fails_and_the_next_statement_does_not():
    limit_waiting(90, is_short=lambda: False, short_timeout=0.5)
    assert ask("SELECT 1") == 1
    limit_waiting(1, is_short=lambda: False, short_timeout=0.5)
    with pytest.raises(OperationalError, match="no answer in 1 seconds"):
        ask(LONG)
    limit_waiting(90, is_short=lambda: False, short_timeout=0.5)
    assert ask("SELECT 2") == 2


def test_new_connections_work_too():
    connection.close()
    limit_waiting(90, is_short=lambda: False, short_timeout=1)
    assert ask("SELECT repeat('x', 1000000)") == "x" * 1_000_000


def test_there_is_less_time_when_in_a_hurry():
    short_timeout = []
    limit_waiting(60, is_short=lambda: bool(short_timeout), short_timeout=0.5)
    assert ask("SELECT 1") == 1
    short_timeout.append(True)
    with pytest.raises(OperationalError, match="no answer"):
        ask(LONG)


class TestClock:
    """Decision 41: workers' clocks may differ, PostgreSQL's decides."""

    @pytest.mark.parametrize("minutes", [-5, 5])
    def test_a_process_that_goes_wrong_gets_the_right_time(self, minutes):
        before = ask("SELECT clock_timestamp()")
        with time_machine.travel(clock.now() + datetime.timedelta(minutes=minutes)):
            read, carried = now(), DatabaseClock().now()
        assert before <= read <= carried <= ask("SELECT clock_timestamp()") + GENEROUS
        assert read.tzinfo is carried.tzinfo is datetime.UTC

    def test_it_goes_on_within_a_transaction(self):
        with transaction.atomic():
            assert now() < now()

    def test_the_carried_clock_is_never_behind(self):
        carried = DatabaseClock()
        ask("SELECT pg_sleep(0.2)")
        before = ask("SELECT clock_timestamp()")
        assert before <= carried.now()


GENEROUS = datetime.timedelta(seconds=60)
