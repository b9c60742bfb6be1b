"""Migrating at the same time as others, and beside those who use the tables (spec 08 §12.1)."""

import threading

import psycopg2
import pytest
from django.db import OperationalError, connection, transaction

from tests.threads import in_thread, in_threads
from util import migrations
from util.migrations import alter_table, build_index, fill_in_chunks, migrate_alone

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def table():
    """A table with a row, committed."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE crowded (number integer)")
        cursor.execute("INSERT INTO crowded VALUES (1)")
    yield "crowded"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE crowded")


def columns():
    with connection.cursor() as cursor:
        cursor.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'crowded'::regclass")
        return {row[0] for row in cursor.fetchall()}


def test_a_table_in_use_is_changed_once_it_is_free(table, monkeypatch):
    """Meanwhile nobody who comes later waits for longer than a moment."""
    monkeypatch.setattr(migrations, "SHORT_LOCK_SECONDS", 1)

    def read():
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM crowded")
            return cursor.fetchall()

    with transaction.atomic():
        assert read() == [(1,)]
        changing = in_thread(lambda: alter_table(connection, "ALTER TABLE crowded ADD more int"))
        assert in_threads(read, read) == [[(1,)], [(1,)]]
        assert not changing.done()
    changing.result(60)
    assert "more" in columns()


def test_a_table_that_is_never_free_is_an_error(table, monkeypatch):
    monkeypatch.setattr(migrations, "SHORT_LOCK_SECONDS", 1)
    monkeypatch.setattr(migrations, "LOCK_ATTEMPTS", 1)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM crowded")
        changing = in_thread(lambda: alter_table(connection, "ALTER TABLE crowded ADD more int"))
        with pytest.raises(OperationalError, match="lock timeout"):
            changing.result(60)


def test_an_index_is_built_anew_after_a_failure(table):
    statement = "CREATE UNIQUE INDEX CONCURRENTLY crowded_number ON crowded (number)"
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO crowded VALUES (1)")
    with pytest.raises(Exception, match="could not create unique index") as failure:
        build_index(connection, name="crowded_number", statement=statement)
    assert isinstance(failure.value.__cause__, psycopg2.errors.UniqueViolation)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE crowded SET number = 2 WHERE ctid = '(0,2)'")
        build_index(connection, name="crowded_number", statement=statement)
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'crowded_number'::regclass"
        )
        assert cursor.fetchone() == (True,)


def test_all_rows_are_filled_chunk_by_chunk(table):
    """Each row once, also those behind a hole, and with each statement in its turn."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE crowded ADD id integer")
        cursor.execute("DELETE FROM crowded")
        cursor.execute(
            "INSERT INTO crowded (id, number) SELECT id, 0 FROM generate_series(1, 20) id"
            " WHERE id NOT BETWEEN 5 AND 14"
        )
        fill_in_chunks(
            connection,
            "crowded",
            "UPDATE crowded SET number = number + 1 WHERE id > %s AND id <= %s",
            "UPDATE crowded SET number = number * 10 WHERE id > %s AND id <= %s",
            rows=3,
        )
        cursor.execute("SELECT number, count(*) FROM crowded GROUP BY number")
        assert cursor.fetchall() == [(10, 10)]


def test_who_waits_to_migrate_keeps_no_index_from_being_built(table, monkeypatch):
    """The first process builds one, which waits for everybody else's statement in progress."""
    waiting = threading.Event()
    called = []

    def migrate(*_, **__):
        called.append("migrate")
        if len(called) == 1:
            second.append(in_thread(lambda: migrate_alone(60)))
            assert waiting.wait(60)
            build_index(
                connection,
                name="crowded_number",
                statement="CREATE INDEX CONCURRENTLY crowded_number ON crowded (number)",
            )

    original = migrations._try_lock

    def try_lock(holder):
        taken = original(holder)
        if not taken:
            waiting.set()
        return taken

    second = []
    monkeypatch.setattr(migrations, "call_command", migrate)
    monkeypatch.setattr(migrations, "_try_lock", try_lock)
    in_threads(lambda: migrate_alone(60))
    second[0].result(60)
    assert called == ["migrate", "migrate"]


def test_who_waits_too_long_gives_up(monkeypatch):
    def migrate(*_, **__):
        with pytest.raises(OperationalError, match="another process has been migrating"):
            in_threads(lambda: migrate_alone(0))

    monkeypatch.setattr(migrations, "call_command", migrate)
    migrate_alone(0)
