"""What lists leave out because it makes no difference: it must make none."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from api.internal import fields
from api.internal.filters import only
from api.internal.resources import RUNS
from tests.api.internal.callers import ANYBODY, B
from tests.factories import make_aws_account, make_user

VALUES = {
    serializers.IntegerField: st.integers(-(2**63), 2**63 - 1),
    serializers.FloatField: st.floats(allow_nan=False, allow_infinity=False),
    serializers.CharField: st.text(),
    serializers.DateTimeField: st.datetimes(
        min_value=datetime.datetime(2, 1, 1),
        max_value=datetime.datetime(9998, 12, 30),
        timezones=st.sampled_from(
            [datetime.UTC, datetime.timezone(datetime.timedelta(hours=5, minutes=30))]
        ),
    ),
}


def test_all_writers_are_tried():
    assert VALUES.keys() == fields._WRITERS.keys()


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_shown_as_their_fields_show_them(kind):
    field = kind()

    @given(VALUES[kind])
    def check(value):
        assert fields._WRITERS[kind](value) == field.to_representation(value)

    check()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "shown", "statements"),
    [
        ("limit=6", 5, 1),
        ("limit=5", 5, 2),
        ("limit=2&offset=2", 2, 2),
        ("limit=2&offset=4", 1, 1),
        ("limit=2&offset=5", 0, 2),
        ("limit=2&offset=99999999999999999999", 0, 2),
    ],
)
def test_a_page_that_tells_the_number_of_rows_needs_no_counting(
    query, shown, statements, django_assert_num_queries
):
    account = make_aws_account(user=make_user())
    for _ in range(4):
        make_aws_account(user=account.user)
    with django_assert_num_queries(statements):
        body = ANYBODY.get(f"{B}/cloudaccounts/?{query}").json()
    assert (body["meta"]["count"], len(body["data"])) == (5, shown)


@pytest.mark.django_db
def test_an_empty_list_is_not_counted(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert ANYBODY.get(f"{B}/cloudaccounts/").json()["meta"]["count"] == 0


def test_only_given_parameters_are_read():
    names = frozenset({"vcpu", "created_at__gt"})
    few = only(RUNS.filter_set, names)
    assert few.base_filters.keys() == names
    assert len(RUNS.filter_set.base_filters) > 10
