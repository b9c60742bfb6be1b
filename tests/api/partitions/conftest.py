"""A database of its own, as partitioned tables are no longer what Django made."""

import pytest
from django.db import connection


@pytest.fixture
def scratch(transactional_db):
    """Everything happens in a copy of the test database, which is dropped afterwards."""
    origin = connection.settings_dict["NAME"]
    name = f"{origin}_partitions"
    administer = connection._nodb_cursor
    connection.close()
    with administer() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {origin}")
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = origin
        with administer() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
