"""Pages of large rows: bounded in memory, the same to clients (README decisions 38, 43)."""

from datetime import timedelta

import pytest
from django.test import Client

from api.internal import browse
from api.models import ConcurrentUsage
from tests.api.internal.callers import B
from tests.factories import make_stale, make_usage, make_user, utc

pytestmark = pytest.mark.django_db

ODD = ["], [", 'a"], ["b', "\u2028", "\u2029", "\U0001f4a1", "\\", "\n", "é", ""]
FIRST = utc("2022-01-01").date()


@pytest.fixture
def user():
    """Somebody with ten days whose counts differ in kind and length, the first without any."""
    user = make_user(date_joined=utc("2022-01-01"))
    for number in range(10):
        rows = [
            [ODD[(number + index) % len(ODD)], f"role {index}", "é", "_ANY", "", index]
            for index in range(number * number)
        ]
        make_usage(user=user, date=FIRST + timedelta(days=number), counts=rows)
    return user


def get(query, accept):
    return Client().get(f"{B}/concurrentusages/?{query}", headers={"Accept": accept})


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json; indent=3"])
@pytest.mark.parametrize("query", ["x=1", "limit=4&offset=3", "include_runs=1", "offset=20"])
@pytest.mark.parametrize("at_once", [0, 200, 1500])
def test_large_pages_are_the_same_byte_by_byte(user, monkeypatch, accept, query, at_once):
    whole = get(query, accept)
    monkeypatch.setattr(browse, "PIECE", at_once)
    stream = get(query, accept)
    assert not whole.streaming
    assert stream.streaming == (query != "offset=20")
    assert stream.status_code == whole.status_code == 200
    assert stream.headers.get("Content-Type") == whole.headers.get("Content-Type")
    assert stream.getvalue() == whole.content


def test_a_row_that_disappears_breaks_the_connection(user, monkeypatch):
    monkeypatch.setattr(browse, "PIECE", 1)
    stream = iter(get("", "*/*").streaming_content)
    seen = [next(stream) for _ in range(3)]
    make_stale(user=user, first_day=ConcurrentUsage.objects.latest("date").date)
    with pytest.raises(browse.RowsChanged):
        seen.extend(stream)
    assert b"2022-01-09" in b"".join(seen)
    assert b"2022-01-10" not in b"".join(seen)
