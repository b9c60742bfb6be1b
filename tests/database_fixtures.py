"""The database of tests, and that of the servers that they start."""

import pytest
from django.conf import settings
from django.db import connection

from deployment.local.postgres import Postgres
from tests import emptied, migrated
from tests.plugin import EMBEDDED

# In a real PostgreSQL pytest-django makes a database of its own.
if "postgres" in EMBEDDED:

    @pytest.fixture(scope="session")
    def django_db_setup(postgres: None, django_test_environment: None) -> None:
        """Use the database that the embedded PostgreSQL is started with; it ends with it."""
        settings.DATABASES["default"]["NAME"] = migrated.DATABASE_OF_TESTS
        connection.settings_dict["NAME"] = migrated.DATABASE_OF_TESTS
        emptied.empty_quickly()


@pytest.fixture
def unmigrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers that are started begin with an empty database, as a new deployment does."""
    monkeypatch.setattr(Postgres, "template", staticmethod(lambda: None))
