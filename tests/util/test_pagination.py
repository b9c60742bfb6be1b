"""Pages (01 §5, 02 §2.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from util.pagination import InsightsPagination

PATH = "/api/cloudigrade/v2/accounts/"


def page(query="", count=28, path=PATH):
    request = Request(APIRequestFactory().get(f"{path}?{query}" if query else path))
    pagination = InsightsPagination()
    rows = pagination.paginate_queryset(list(range(count)), request)
    return pagination.get_paginated_response(rows).data


def link(query):
    return query and f"{PATH}?{query}"


@pytest.mark.parametrize(
    ("query", "rows", "following", "previous", "last"),
    [
        ("", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("limit=5&offset=3", 5, "limit=5&offset=8", "limit=5", "limit=5&offset=23"),
        ("limit=5&offset=10", 5, "limit=5&offset=15", "limit=5&offset=5", "limit=5&offset=23"),
        ("offset=28", 0, None, "limit=10&offset=18", "limit=10&offset=18"),
        ("offset=1000", 0, None, "limit=10&offset=990", "limit=10&offset=18"),
        ("limit=1000000", 28, None, None, "limit=100&offset=0"),
    ],
)
def test_the_specification_s_table(query, rows, following, previous, last):
    answer = page(query)
    assert len(answer["data"]) == rows
    assert answer["meta"] == {"count": 28}
    limit = last.partition("&")[0]
    assert answer["links"] == {
        "first": link(f"{limit}&offset=0"),
        "next": link(following),
        "previous": link(previous),
        "last": link(last),
    }


@pytest.mark.parametrize("value", ["0", "-1", "abc", "5.5", "", "%00", "1e3", "9" * 5000])
def test_senseless_values_are_no_errors(value):
    answer = page(f"offset={value}")
    assert answer["data"][:1] == [0]
    answer = page(f"limit={value}")
    assert len(answer["data"]) == 10


def test_the_last_of_repeated_values_counts():
    assert page("limit=3&limit=4&offset=1&offset=2")["data"] == [2, 3, 4, 5]


def test_an_empty_list():
    answer = page(count=0)
    assert answer == {
        "meta": {"count": 0},
        "links": {
            "first": link("limit=10&offset=0"),
            "next": None,
            "previous": None,
            "last": link("limit=10&offset=0"),
        },
        "data": [],
    }


def test_the_internal_api_s_example():
    """02 §2.1: with count 10 and limit 7 the last page starts at 3."""
    links = page("limit=7", count=10, path="/internal/api/cloudigrade/v1/users/")["links"]
    assert links["last"] == "/internal/api/cloudigrade/v1/users/?limit=7&offset=3"
    assert page("limit=7&offset=7", count=10)["links"]["previous"] == link("limit=7")


def test_other_parameters_stay_sorted_by_name():
    query = "zeta=1&limit=5&abc=&b=two+words&b=one&at=2020-05-01T00:00:00%2B02:00/x&%C3%BC=%C3%A4"
    assert page(query)["links"]["next"] == link(
        "abc=&at=2020-05-01T00%3A00%3A00%2B02%3A00%2Fx&b=two+words&b=one"
        "&limit=5&offset=5&zeta=1&%C3%BC=%C3%A4"
    )


@given(st.integers(0, 300), st.integers(1, 120), st.integers(0, 300))
def test_following_the_links_shows_every_row_once(count, limit, offset):
    seen, query = [], f"limit={limit}&offset=0"
    while query:
        answer = page(query, count=count)
        seen += answer["data"]
        query = (answer["links"]["next"] or "").partition("?")[2]
    assert seen == list(range(count))
    links = page(f"limit={limit}&offset={offset}", count=count)["links"]
    assert (links["previous"] is None) == (offset == 0)


def test_the_envelope_is_described_for_openapi():
    schema = InsightsPagination().get_paginated_response_schema({"type": "array"})
    assert set(schema["required"]) == {"meta", "links", "data"}
    assert schema["properties"]["links"]["properties"]["previous"]["nullable"]
