"""The parser of bracket parameters that all new public routes share (spec 11 §3, §5)."""

import datetime
from typing import cast

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from api.public import brackets
from api.public.brackets import BracketParameters, Brackets, Field, FieldSql, Order
from api.public.filters import NO_ID

FIELDS = (
    Field("region", "The region.", "us-east-1"),
    Field("account", "The account.", "12", brackets.whole_number),
    Field("rhel", "Whether it is RHEL.", "true", brackets.boolean),
    Field("status", "The status.", "running", brackets.OneOf(("running", "stopped"))),
    Field("role", "The role.", "Server", takes_empty=True),
    Field("created_at", "The creation.", "2023-01-01T00:00:00Z", brackets.instant),
)
EVERYTHING = BracketParameters(
    FIELDS, contains=True, excludes=True, orders=True, searches=True, groups=("region", "account")
)
FILTERS_ONLY = BracketParameters(FIELDS)


def read(query: str, parameters: BracketParameters = EVERYTHING) -> Brackets:
    return parameters.read(QueryDict(query))


def errors(query: str, parameters: BracketParameters = EVERYTHING) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as raised:
        read(query, parameters)
    return cast(dict[str, list[str]], raised.value.detail)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Brackets()),
        ("filter[region]=a,b", Brackets(filters={"region": ("a", "b")})),
        ("filter%5Bregion%5D=a%2Cb", Brackets(filters={"region": ("a", "b")})),
        ("filter[region]=a%252Cb,c", Brackets(filters={"region": ("a,b", "c")})),
        ("filter[region]=x&filter[region]=y", Brackets(filters={"region": ("y",)})),
        ("filter[region]=", Brackets()),
        ("filter[region]=,a,", Brackets(filters={"region": ("a",)})),
        ("filter[role]=", Brackets(filters={"role": ("",)})),
        ("filter[role]=,x", Brackets(filters={"role": ("", "x")})),
        ("filter[account]=7,007", Brackets(filters={"account": (7, 7)})),
        (f"filter[account]={10**30}", Brackets(filters={"account": (NO_ID,)})),
        ("filter[rhel]=TRUE,0", Brackets(filters={"rhel": (True, False)})),
        ("filter[contains:region]=100%25_,b", Brackets(contains={"region": ("100%_", "b")})),
        ("exclude[status]=stopped", Brackets(excludes={"status": ("stopped",)})),
        ("order_by[region]=desc", Brackets(order=Order("region", True))),
        ("order_by[region]=asc", Brackets(order=Order("region", False))),
        ("group_by[region]=*&group_by[account]=*", Brackets(groups=("account", "region"))),
        ("filter[search]=a,b", Brackets(search="a,b")),
        ("filter[search]=a%252Cb", Brackets(search="a,b")),
        ("filter[search]=", Brackets()),
        ("filters[region]=a&filter=b&Filter[region]=c&xfilter[region]=d", Brackets()),
    ],
)
def test_what_is_read(query, expected):
    assert read(query) == expected


def test_instants_are_in_utc():
    expected = datetime.datetime(2023, 1, 1, tzinfo=datetime.UTC)
    found = read("filter[created_at]=2023-01-01T02:00:00%2B02:00").filters
    assert found == {"created_at": (expected,)}


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        ("filter[foo]=1", "filter[foo]", "Unknown filter."),
        ("filter[foo]=", "filter[foo]", "Unknown filter."),
        ("filter[]=1", "filter[]", "Unknown filter."),
        ("filter[region=1", "filter[region", "Unknown filter."),
        ("filter[region]x=1", "filter[region]x", "Unknown filter."),
        ("filter[%0Aregion]=1", "filter[\nregion]", "Unknown filter."),
        ("filter[contains:foo]=1", "filter[contains:foo]", "Unknown filter."),
        ("filter[contains:rhel]=t", "filter[contains:rhel]", "Unknown filter."),
        ("exclude[search]=abc", "exclude[search]", "Unknown filter."),
        ("order_by[foo]=asc", "order_by[foo]", "Unknown field."),
        ("group_by[rhel]=*", "group_by[rhel]", "Unknown field."),
        ("filter[account]=x", "filter[account]", "Enter a whole number."),
        ("filter[created_at]=x", "filter[created_at]", "Enter a valid date/time."),
        ("filter[region]=a%00", "filter[region]", "Null characters are not allowed."),
        ("filter[contains:region]=%00", "filter[contains:region]", brackets.NUL),
        ("filter[search]=abc%00", "filter[search]", brackets.NUL),
        ("filter[search]=ab", "filter[search]", "Enter at least 3 characters."),
        ("order_by[region]=asc&order_by[rhel]=asc", "order_by[rhel]", brackets.ONE_ORDER),
        (
            "filter[status]=running,Stopped",
            "filter[status]",
            "Select a valid choice. Stopped is not one of the available choices.",
        ),
        (
            "order_by[region]=up",
            "order_by[region]",
            "Select a valid choice. up is not one of the available choices.",
        ),
        (
            "group_by[region]=x",
            "group_by[region]",
            "Select a valid choice. x is not one of the available choices.",
        ),
    ],
)
def test_what_is_wrong(query, name, message):
    assert errors(query) == {name: [message]}


def test_all_errors_are_reported_together():
    query = "filter[foo]=1&exclude[account]=x&order_by[bar]=asc"
    assert errors(query).keys() == {"filter[foo]", "exclude[account]", "order_by[bar]"}


def test_a_third_group_is_one_too_many():
    parameters = BracketParameters(FIELDS, groups=("a", "b", "c"))
    assert errors("group_by[a]=*&group_by[b]=*&group_by[c]=*", parameters) == {
        "group_by[c]": ["At most 2 group_by are allowed."]
    }


@pytest.mark.parametrize(
    "name", ["exclude[region]", "order_by[region]", "filter[search]", "filter[contains:region]"]
)
def test_what_a_route_does_not_take_is_unknown(name):
    assert errors(f"{name}=asc", FILTERS_ONLY).keys() == {name}


def test_routes_without_groups_ignore_group_by():
    assert read("group_by[foo]=1", FILTERS_ONLY) == Brackets()


def test_the_condition_knows_no_value_from_an_unknown_one():
    wanted = read("filter[role]=,x&exclude[region]=a&filter[contains:region]=5%25_%5C")
    condition = wanted.condition({"role": FieldSql("image.role"), "region": FieldSql("region")})
    assert condition.sql == (
        " AND coalesce(image.role, '') = ANY(%s)"
        ' AND (region)::text COLLATE "C" ILIKE ANY(%s)'
        " AND ((region) = ANY(%s)) IS NOT TRUE"
    )
    assert condition.values == (["", "x"], ["%5\\%\\_\\\\%"], ["a"])


def test_text_is_sorted_by_its_code_points():
    columns = {"region": FieldSql("region"), "account": FieldSql("account", is_text=False)}
    for query, expected in (
        ("", ("NULL::integer", "ASC")),
        ("order_by[region]=desc", ('(region) COLLATE "C"', "DESC")),
        ("order_by[account]=asc", ("(account)", "ASC")),
    ):
        assert read(query).sorting(columns) == expected


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=30)))
def test_any_query_is_read_or_refused(query):
    wanted, wrong = EVERYTHING.collect(query)
    assert isinstance(wanted, Brackets)
    assert wrong.keys() <= query.keys()
