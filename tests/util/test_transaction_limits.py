"""No transaction waits for ever (decision 42)."""

import threading

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg2 import extensions

from tests.threads import in_thread
from util import transaction_limits
from util.postgres import limit_waiting
from util.transaction_limits import (
    is_lock_timeout,
    is_timeout,
    limit_transactions,
    wait_for_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture
def limit(settings, unlimited_afterwards):
    """Limit transactions, of this thread and of further ones, until the test ends."""

    def run(**limits):
        settings.DATABASE_LIMITS = {"test": limits}
        limit_transactions("test")

    connection.ensure_connection()
    yield run
    connection.close()


def shown():
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join('current_setting(%s)' for _ in SETTINGS)}", SETTINGS)
        return cursor.fetchone()


def shown_without_limits():
    """Ask behind Django's back: what whoever gets this connection next has."""
    with connection.connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join('current_setting(%s)' for _ in SETTINGS)}", SETTINGS)
        return cursor.fetchone()


def fail_after(work):
    with transaction.atomic(), connection.cursor() as cursor:
        work()
        cursor.execute("SELECT 1 / 0")


LIMITS = {"lock": 1.5, "statement": 20, "idle": 60}
AS_SHOWN = ("1500ms", "20s", "1min")
SINGLE = (*AS_SHOWN[:2], "0")
"""A single statement is a transaction that is never idle."""
NONE = ("0", "0", "0")


class TestWhere:
    def test_in_a_transaction_and_in_a_single_statement_and_nowhere_else(self, limit):
        limit(**LIMITS)
        assert shown() == SINGLE
        assert shown_without_limits() == NONE
        with transaction.atomic():
            assert shown() == shown() == AS_SHOWN
        assert shown_without_limits() == NONE

    def test_after_a_savepoint_is_rolled_back(self, limit):
        limit(**LIMITS)
        with transaction.atomic():
            with pytest.raises(DatabaseError):
                fail_after(shown)
            assert shown() == AS_SHOWN
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            raise ZeroDivisionError
        assert shown() == SINGLE

    def test_in_connections_of_other_threads_and_after_reconnecting(self, limit):
        limit(**LIMITS)
        assert in_thread(shown).result(60) == SINGLE
        connection.close()
        assert shown() == SINGLE

    def test_a_second_kind_replaces_the_first(self, limit):
        limit(**LIMITS)
        assert shown() == SINGLE
        limit(lock=0)
        assert shown() == NONE

    def test_a_transaction_may_wait_for_less(self, limit):
        limit(**LIMITS)
        with transaction.atomic():
            wait_for_locks(connection, 0.25)
            assert shown() == ("250ms", *AS_SHOWN[1:])
        assert shown() == SINGLE

    def test_results_are_those_of_the_statement_itself(self, limit):
        limit(**LIMITS)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE numbers (number integer, text text)")
            cursor.execute("INSERT INTO numbers VALUES (%s, %s), (2, '%%')", [1, "100% ; --"])
            assert cursor.rowcount == 2
            cursor.execute("SELECT number, text FROM numbers ORDER BY 1")
            assert [column.name for column in cursor.description] == ["number", "text"]
            assert cursor.fetchall() == [(1, "100% ; --"), (2, "%")]
            cursor.executemany("INSERT INTO numbers VALUES (%s, '')", [[3], [4]])
            cursor.execute("SELECT count(*) FROM numbers")
            assert cursor.fetchone() == (4,)

    @pytest.mark.parametrize(
        "statement",
        [
            "VACUUM django_migrations",
            "  create index concurrently odd ON django_migrations (app)",
            "DROP INDEX CONCURRENTLY IF EXISTS odd",
        ],
    )
    def test_what_cannot_be_in_a_transaction_is_left_alone(self, limit, statement):
        limit(**LIMITS)
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def test_with_a_limited_wait_for_answers(self, limit):
        """As the listener has it."""
        limit(**LIMITS)
        limit_waiting(60, is_short=lambda: False, short_timeout=1)
        try:
            assert shown() == SINGLE
            with transaction.atomic():
                assert shown() == AS_SHOWN
            assert shown_without_limits() == NONE
        finally:
            extensions.set_wait_callback(None)

    def test_no_further_statements(self, limit):
        with CaptureQueriesContext(connection) as before, transaction.atomic():
            shown()
        limit(**LIMITS)
        with CaptureQueriesContext(connection) as after, transaction.atomic():
            shown()
        assert len(after) == len(before)

    def test_a_wrapper_around_a_new_connection_is_taken_off_again(self, limit):
        limit(**LIMITS)
        connection.close()
        seen = []

        def wrapper(execute, sql, params, many, context):
            seen.append(sql)
            return execute(sql, params, many, context)

        connection.execute_wrappers.remove(transaction_limits._limiter)
        with connection.execute_wrapper(wrapper):
            assert shown() == SINGLE
        assert connection.execute_wrappers == [transaction_limits._limiter]
        assert shown() == SINGLE
        assert len(seen) == 1


@pytest.fixture
def row():
    """A table with a row, committed."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE rows (id integer PRIMARY KEY, number integer)")
        cursor.execute("INSERT INTO rows VALUES (1, 0)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE rows")


def change():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE rows SET number = number + 1 WHERE id = 1")


def sleep(seconds):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


class TestWhat:
    def test_a_lock_is_not_waited_for_for_ever(self, row, limit):
        limit(lock=0.2)
        with transaction.atomic():
            change()
            with pytest.raises(OperationalError) as raised:
                in_thread(change).result(60)
        assert is_lock_timeout(raised.value)
        assert is_timeout(raised.value)
        change()

    def test_a_deadlock_counts_as_one(self, row, limit):
        limit(lock=20)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO rows VALUES (2, 0)")
        ready = threading.Barrier(2)

        def both(first, second):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("UPDATE rows SET number = 1 WHERE id = %s", [first])
                ready.wait(60)
                cursor.execute("UPDATE rows SET number = 1 WHERE id = %s", [second])

        futures = [in_thread(lambda: both(1, 2)), in_thread(lambda: both(2, 1))]
        errors = [error for one in futures if (error := one.exception(60))]
        assert [is_lock_timeout(error) for error in errors] == [True]

    def test_a_statement_does_not_take_for_ever(self, limit):
        limit(statement=0.2)
        with pytest.raises(OperationalError) as raised:
            sleep(60)
        assert is_timeout(raised.value)
        assert not is_lock_timeout(raised.value)
        assert shown()[0] == "0"

    def test_a_transaction_that_does_nothing_gives_back_its_locks(self, row, limit):
        limit(idle=0.5)
        stopped, go_on = threading.Event(), threading.Event()

        def stand_still():
            with transaction.atomic():
                change()
                stopped.set()
                assert go_on.wait(60)
                change()

        standing = in_thread(stand_still)
        assert stopped.wait(60)
        in_thread(change).result(60)
        go_on.set()
        with pytest.raises((OperationalError, InterfaceError, DatabaseError)):
            standing.result(60)
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM rows")
            assert cursor.fetchone() == (1,)

    def test_other_errors_are_none(self):
        with pytest.raises(DatabaseError) as raised, connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        assert not is_timeout(raised.value)
        assert not is_timeout(ValueError())
        assert not is_timeout(None)
