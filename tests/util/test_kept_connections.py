"""Connections that are kept between requests are looked at before they are used."""

import pytest
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext

from tests.threads import in_thread
from util import kept_connections
from util.kept_connections import look_before_asking

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kept():
    """A connection as the API's threads have them between two requests."""
    connection.close()
    look_before_asking()
    connection.ensure_connection()
    yield connection
    connection_created.disconnect(dispatch_uid=kept_connections.__name__)
    connection.close()
    vars(connection).pop("is_usable", None)


def end(kept) -> None:
    """Have the server end a connection, as it does when it is restarted."""
    number = kept.connection.info.backend_pid

    def terminate() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 30000)", [number])
            assert cursor.fetchone()[0]

    in_thread(terminate).result(60)


def test_a_working_connection_is_asked_nothing(kept):
    with CaptureQueriesContext(kept) as sent:
        assert kept.is_usable()
    assert kept_connections.is_silent(kept)
    assert len(sent) == 0


def test_a_connection_that_the_server_ended_is_made_anew(kept, monkeypatch):
    monkeypatch.setattr(kept, "health_check_enabled", True)
    end(kept)
    assert not kept_connections.is_silent(kept)
    kept.health_check_done = False
    with kept.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert kept.is_usable()


def test_a_closed_connection_is_not_usable(kept):
    kept.connection.close()
    assert not kept.is_usable()


def test_after_a_while_the_server_is_asked(kept, monkeypatch):
    """A server whose machine was lost is as silent as one that waits for a statement."""
    asked = []
    check = kept_connections.Check(lambda: bool(asked.append(1)))
    assert check(kept)
    monkeypatch.setattr(check, "_believed_until", 0.0)
    assert not check(kept)
    assert asked == [1]
