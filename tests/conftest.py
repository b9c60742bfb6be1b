"""Fixtures for all tests; the embedded services are in tests/plugin.py."""

import pytest

pytest_plugins = ["tests.celery_fixtures"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres, django_db_modify_db_settings):
    """Have PostgreSQL running before the test database is created."""
