"""No input makes a server error (spec 01 §4)."""

from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.public.callers import Caller

pytestmark = pytest.mark.django_db

LISTS = ["/accounts/", "/instances/", "/images/", "/concurrent/", "/billing-findings/"]


@pytest.mark.parametrize(
    "id",
    [
        "abc",
        "1.5",
        "-1",
        "+1",
        "0",
        "1_0",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999",
        "9" * 3000,
        "9" * 5000,
        "0" * 5000 + "1",
        "%00",
        "1%00",
        "%FF",
        "%D9%A1",
        "1%20",
        "1e3",
        "%2e%2e",
        "1;2",
        "null",
    ],
)
@pytest.mark.parametrize("kind", ["accounts", "instances", "images"])
def test_ids(as_a, kind, id):
    answer = as_a.get(f"/{kind}/{id}/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "%FF=%FE",
        "limit=%FF&offset=%00",
        f"limit={'9' * 3000}&offset={'9' * 3000}",
        "limit=%D9%A3&offset=%D9%A3",
        "limit=1_0&offset=1_0",
        "limit=Infinity&offset=NaN",
        "%00=%00",
        "a=%ED%A0%80",
        "&".join(f"p{number}" for number in range(900)),
    ],
)
def test_queries(as_a, usage_of_a, path, query):
    assert as_a.get(f"{path}?{query}").status_code == 200


@pytest.mark.parametrize("path", [*LISTS, "/", "/sysconfig/", "/azure-offer-template/"])
def test_too_many_parameters(as_a, path, own_aws_account):
    answer = as_a.get(f"{path}?{'&'.join('a' * 1100)}")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "accept",
    [
        "",
        ";",
        ",,,",
        "application/json;q=x",
        "application/json; a*=nonsense''%FF",
        "application/json" * 1000,
        "*/*;" * 3000,
        "\u00ff/\u00ff, */*",
    ],
)
def test_accept_headers(as_a, accept):
    assert as_a.get("/accounts/", Accept=accept).status_code in (200, 406)


@pytest.mark.parametrize("host", ["a b", "[::1", "evil.example.com:port", "a\u00e9.com"])
def test_hosts(as_a, host):
    answer = as_a.get("/", Host=host)
    assert answer.status_code in (200, 400)
    assert answer["Content-Type"] == "application/json"


any_text = st.text(st.characters(exclude_characters="\r\n"), max_size=30)
parameters = st.sampled_from(
    [
        "limit",
        "offset",
        "format",
        "running_since",
        "status",
        "architecture",
        "rhel_detected",
        "start_date",
        "end_date",
        "cloud_type",
        "is_enabled",
        "cloud_account_id",
    ]
)
headers = st.sampled_from(
    [
        "X-RH-IDENTITY",
        "X-RH-CLOUDIGRADE-PSK",
        "X-RH-CLOUDIGRADE-ORG-ID",
        "X-RH-CLOUDIGRADE-ACCOUNT-NUMBER",
        "X-RH-INSIGHTS-REQUEST-ID",
        "Accept",
        "Host",
    ]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(LISTS),
    query=st.dictionaries(parameters | any_text, any_text, max_size=4),
)
def test_any_query(as_a, usage_of_a, path, query):
    text = urlencode(query, errors="surrogatepass")
    assert as_a.get(f"{path}?{text}").status_code < 500


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(headers, st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
)
def test_any_headers(given_headers):
    assert Caller(given_headers).get("/accounts/").status_code < 500
