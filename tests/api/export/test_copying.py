"""COPY as blocks: one statement, one snapshot, cancelled when nobody waits (spec 11 §4)."""

import socket
import threading
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection

from api.export.columns import ColumnKind, ExportColumn
from api.export.copying import BLOCK, BLOCKS_AT_ONCE, ExportAbandonedError, copy_blocks
from api.export.tables import CSV, NDJSON, ExportTable
from api.public import export as views
from util.hang_up import Client

pytestmark = pytest.mark.django_db(transaction=True)


def numbers(rows: int, sql: str = "n") -> ExportTable:
    columns = [ExportColumn("n", sql, ColumnKind.INTEGER), ExportColumn("text", "repeat('x', 100)")]
    return ExportTable(
        columns, "FROM generate_series(1, %s) number (n)", "ORDER BY number.n", parameters=[rows]
    )


def is_copying() -> bool:
    """Look from a connection of its own whether a statement of ours goes on."""
    with connection.copy().cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%%' AND state = 'active'"
            " AND datname = current_database()"
        )
        (count,) = cursor.fetchone()
        cursor.db.close()
    return count > 0


@pytest.mark.parametrize("form", [CSV, NDJSON])
def test_all_rows_come_in_order_in_blocks(form):
    blocks = list(copy_blocks(numbers(20_000), form))
    assert max(map(len, blocks)) < BLOCK + 1000
    lines = b"".join(blocks).splitlines()
    assert len(lines) == 20_000 + (form == CSV)
    last = b"20000," if form == CSV else b'{"n":20000,'
    assert lines[-1].startswith(last)


def test_the_connection_is_usable_afterwards():
    list(copy_blocks(numbers(10), CSV))
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert not connection.in_atomic_block


def test_4_a_client_that_hung_up_ends_a_statement_that_has_written_nothing():
    """Acceptance 4: the query is cancelled though no byte was sent that could have failed."""
    here, there = socket.socketpair()
    client = Client(here, understands_interim_answers=True)
    request = SimpleNamespace(META={"cloudigrade.client": client})
    is_connected = views._is_connected(request)
    assert is_connected()
    waits = numbers(1, "(SELECT 1 FROM pg_sleep(n * 600))")
    timer = threading.Timer(1, there.close)
    timer.start()
    with pytest.raises(ExportAbandonedError):
        list(copy_blocks(waits, CSV, is_wanted=is_connected))
    timer.join()
    here.close()
    assert not is_connected()
    assert not is_copying()


def test_4_closing_the_response_ends_the_statement():
    """Acceptance 4: gunicorn closes the response when it cannot write."""
    blocks = copy_blocks(numbers(3_000_000), CSV)
    next(blocks)
    assert is_copying()
    blocks.close()
    assert not is_copying()
    assert not connection.in_atomic_block


def test_a_statement_that_takes_too_long_is_refused_before_anything_is_sent():
    waits = numbers(1, "(SELECT 1 FROM pg_sleep(n * 600))")
    with pytest.raises(views.ExportTooLarge):
        views._begun(copy_blocks(waits, CSV, seconds=0.5))
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_one_that_takes_too_long_later_breaks():
    """What was sent has no end, so that nobody takes it for all."""
    late = numbers(10_001, "CASE n WHEN 10001 THEN (SELECT 1 FROM pg_sleep(n * 600)) ELSE n END")
    # Sorted, all rows would be computed before the first is sent.
    blocks = copy_blocks(replace(late, order=""), CSV, seconds=5)
    assert next(blocks)
    with pytest.raises(OperationalError):
        list(blocks)


def test_other_errors_of_the_statement_are_raised():
    broken = numbers(3, "1 / (n - 3)")
    with pytest.raises(Exception, match="division by zero"):
        list(copy_blocks(broken, CSV))


def test_memory_is_a_few_blocks_however_many_rows_there_are():
    blocks = copy_blocks(numbers(2_000_000), CSV)
    next(blocks)
    tracemalloc.start()
    for _ in blocks:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < BLOCK * (BLOCKS_AT_ONCE + 4) * 2


def test_7_rows_are_of_one_snapshot():
    """Acceptance 7: what is written meanwhile is not in the rest of an export."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE exported (n bigint, round integer)")
        cursor.execute("INSERT INTO exported SELECT n, 0 FROM generate_series(1, 100000) n")
    try:
        table = ExportTable(
            [
                ExportColumn("n", "n", ColumnKind.ID),
                ExportColumn("round", "round", ColumnKind.INTEGER),
            ],
            "FROM exported",
            "ORDER BY exported.n",
        )
        blocks = copy_blocks(table, CSV)
        begun = next(blocks)
        writer = connection.copy()
        with writer.cursor() as cursor:
            cursor.execute("UPDATE exported SET round = 1")
            cursor.execute("INSERT INTO exported VALUES (0, 1)")
        writer.close()
        lines = (begun + b"".join(blocks)).splitlines()
        assert len(lines) == 100_001
        assert all(line.endswith(b",0") for line in lines[1:])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE exported")
