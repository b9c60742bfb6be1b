"""Fixtures for all tests; the embedded services are in tests/plugin.py."""

import io
import os

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.backends.signals import connection_created

from api.partitions.tables import TABLES
from util import clock, transaction_limits
from util import postgres as database

pytest_plugins = ["tests.celery_fixtures", "tests.database_fixtures"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Skip what is not so of partitioned tables; let nobody repeat what is drawn at random."""
    for item in items:
        if item.get_closest_marker("random_history") or item.get_closest_marker("hypothesis"):
            item.add_marker(pytest.mark.flaky(reruns=0))
    if os.environ.get("TEST_PARTITIONS"):
        for item in items:
            if item.get_closest_marker("one_table"):
                item.add_marker(pytest.mark.skip(reason="names what partitions have not"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """With TEST_PARTITIONS set, all tests run on events and runs in partitions (spec 15 §2)."""
    if os.environ.get("TEST_PARTITIONS"):
        with django_db_blocker.unblock():
            for table in TABLES:
                call_command(
                    "partition_events", "--confirm", "--table", table, stdout=io.StringIO()
                )


@pytest.fixture
def one_clock(monkeypatch):
    """PostgreSQL's clock shows what this process's does: for tests that travel in time."""
    monkeypatch.setattr(database, "now", lambda: clock.now())


@pytest.fixture
def unlimited_afterwards():
    """Transactions that a test has limited, or a worker that it ran, are not when it has ended."""
    yield
    connection_created.disconnect(dispatch_uid=transaction_limits.__name__)
    if transaction_limits._limiter in connection.execute_wrappers:
        connection.execute_wrappers.remove(transaction_limits._limiter)


@pytest.fixture(autouse=True)
def _connection_is_left_as_found():
    """No test leaves wrappers around statements behind for those that follow it."""
    before = list(connection.execute_wrappers)
    yield
    assert connection.execute_wrappers == before
