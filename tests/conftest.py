"""Fixtures for all tests; the embedded services are in tests/plugin.py."""

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from util import clock, transaction_limits
from util import postgres as database

pytest_plugins = ["tests.celery_fixtures"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres, django_db_modify_db_settings):
    """Have PostgreSQL running before the test database is created."""


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
