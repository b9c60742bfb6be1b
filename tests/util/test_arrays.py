"""Columns as literals of arrays."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from util.arrays import array_literal

texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
) | st.sampled_from(["", "NULL", "null", "{}", '"', "\\", '\\"', ",", " ", "a\nb", "'", "%s"])
times = st.datetimes(
    min_value=datetime(1900, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))]),
)


@pytest.mark.django_db
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.none() | texts, max_size=5),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.none() | times, max_size=5),
    st.lists(st.none() | st.dates(), max_size=5),
    st.lists(st.none() | st.floats(allow_nan=False), max_size=5),
)
def test_postgresql_reads_what_was_written(strings, numbers, moments, days, floats):
    written = (strings, numbers, moments, days, floats)
    columns = [array_literal(column) for column in written]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT %s::text[], %s::bigint[], %s::timestamptz[], %s::date[], %s::float8[]", columns
        )
        assert cursor.fetchone() == written


@pytest.mark.parametrize("value", [True, b"x", ["x"]])
def test_other_types(value):
    with pytest.raises(TypeError):
        array_literal([value])
