import pytest

from api.sources import listener


@pytest.fixture
def connection_of_the_test(monkeypatch):
    """Keep the connection with the transaction that the test runs in."""
    monkeypatch.setattr(listener, "close_old_connections", lambda: None)
