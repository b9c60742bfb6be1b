"""Fixtures for all tests; the embedded services are in tests/plugin.py."""

import pytest
from django.db import connection

from util import clock
from util import postgres as database

pytest_plugins = ["tests.celery_fixtures"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres, django_db_modify_db_settings):
    """Have PostgreSQL running before the test database is created."""


@pytest.fixture
def one_clock(monkeypatch):
    """PostgreSQL's clock shows what this process's does: for tests that travel in time."""
    monkeypatch.setattr(database, "now", lambda: clock.now())


@pytest.fixture(autouse=True)
def _connection_is_left_as_found():
    """No test leaves wrappers around statements behind for those that follow it."""
    before = list(connection.execute_wrappers)
    yield
    assert connection.execute_wrappers == before
