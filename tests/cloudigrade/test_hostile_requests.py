"""Requests that no client means, to every route there is (issue 14, items 15, 18, 24 and 26).

Whatever the path, the query, the headers or the body: a client's mistake is answered as one, in
JSON outside of the console's and the documentation's pages, and with nobody else's data.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.internal.callers import ASSOCIATE
from tests.api.public.callers import identity
from tests.factories import make_instance

pytestmark = pytest.mark.django_db

PLACEHOLDER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^()]*(?:\([^()]*\))?[^()]*\)")
LEFT_OUT = ("error/", "clear_cache", "redis_raw", "admin/", "api-auth/")
"""What fails or empties a cache because it is asked to, and Django's own."""

PAGES = ("/internal/console/", "/docs/", "/redoc/", "/internal/metrics")
SECRET = "instance-of-another-customer"


def patterns(resolver: URLResolver | None = None, prefix: str = "/") -> Iterator[str]:
    """Every route, with ``{}`` for what may stand in it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        path = prefix + str(pattern.pattern).lstrip("^").replace("\\Z", "").rstrip("$")
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern, path)
        elif isinstance(pattern, URLPattern) and not any(part in path for part in LEFT_OUT):
            yield PLACEHOLDER.sub("{}", path).replace("\\.", ".").replace("/?", "/")


ROUTES = sorted(set(patterns()))

BYTES = st.sampled_from(
    [
        b"1",
        b"0",
        b"-1",
        b"1.5",
        b"1e3",
        b"9" * 19,
        b"9" * 20,
        b"9" * 4400,
        b"\x00",
        b"\n",
        b"a\r\nb",
        "\u0661".encode(),
        b"\xff",
        b"\xed\xa0\x80",
        b"..",
        b"%",
        b"%2e%2e%2f",
        b"'",
        b'"',
        b"\\",
        b"null",
        b"NaN",
        b"Infinity",
        b"1_0",
        b" 1",
        b"+1",
        b"0x1",
        b"true",
        b"",
        b"2023-03-10",
        b"0001-01-01",
        b"9999-12-31",
        b"10000-01-01",
        b"2023-02-30",
        b"<script>",
        b"a" * 3000,
        b"us-east-1",
        b"json",
        b"${jndi:x}",
        b"{{7*7}}",
        b"1;drop table api_user",
    ]
) | st.binary(max_size=6)
NAMES = st.sampled_from(
    [
        "limit",
        "offset",
        "cursor",
        "format",
        "start_date",
        "end_date",
        "include",
        "sort",
        "fields",
        "filter[region]",
        "filter[id][in]",
        "filter[]",
        "filter[x",
        "group_by[]",
        "granularity",
        "id",
        "user_id",
        "account_number",
        "org_id",
        "username",
        "created_at__lt",
        "status",
        "q",
        "cloud_type",
        "aws_account_id",
        "subscription_id",
        "running_since",
        "by",
        "date",
        "hour",
        "updated_at__gt",
        "instance_type",
        "source_id",
        "page",
        "order_by",
        "at",
        "ec2_ami_id",
    ]
)
QUERY = st.lists(st.tuples(NAMES, BYTES), max_size=4)


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["identity", "account_number", "org_id", "internal", "type", "user"]),
            inner,
        )
    ),
    max_leaves=6,
)
MINE = identity(account_number="1701", org_id="3340851")
IDENTITIES = (
    st.sampled_from([MINE, ASSOCIATE, "", "=", "e30=", "bm9uZQ==", "\u00ff", "a" * 16_000])
    | ANY.map(encoded)
    | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=9)
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "X-RH-IDENTITY": IDENTITIES,
        "X-RH-INTERNAL-FAKE-IDENTITY": IDENTITIES,
        "X-RH-CLOUDIGRADE-PSK": st.sampled_from(["", "x", "s3cret ", "\u00ff", "0"]),
        "X-RH-CLOUDIGRADE-ORG-ID": st.sampled_from(["", "1", "\u00ff", "9" * 5000]),
        "X-RH-CLOUDIGRADE-ACCOUNT-NUMBER": st.sampled_from(["", "1", " ", "\u00ff"]),
        "Accept": st.sampled_from(["*/*", "text/html", "a", "application/json;q=x", ""]),
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=x", "*;q=0", "br, gzip;q=0.1"]),
        "Range": st.just("bytes=0-1"),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "x"]),
        "If-None-Match": st.just("*"),
        "X-HTTP-Method-Override": st.just("DELETE"),
        "Cookie": st.sampled_from(["sessionid=\u00ff", "csrftoken=x", ";=;"]),
    },
)
BODIES = (
    st.sampled_from(
        [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000, b'{"a":' * 5_000, b"1" * 5000]
    )
    | ANY.map(lambda value: json.dumps(value).encode())
    | st.just(gzip.compress(b"{}"))
)
METHODS = st.sampled_from(
    ["GET"] * 8 + ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "get"]
)
TYPES = st.sampled_from(
    [
        "application/json",
        "text/plain",
        "",
        "x",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json; charset=nonsense",
    ]
)


@pytest.fixture
def another_customer(db) -> None:
    make_instance(cloud_instance_id=SECRET)


def send(method: str, url: str, **options: Any) -> Any:
    """Send a request whose changes are undone."""
    with transaction.atomic():
        answer: Any = Client(raise_request_exception=False).generic(method, url, **options)
        answer.body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        transaction.set_rollback(True)
    return answer


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    route=st.sampled_from(ROUTES),
    parts=st.lists(BYTES, min_size=3, max_size=3),
    query=QUERY,
    method=METHODS,
    headers=HEADERS,
    body=BODIES,
    content_type=TYPES,
)
def test_no_request_makes_a_server_error(
    queued, another_customer, route, parts, query, method, headers, body, content_type
):
    path = route
    for part in parts:
        path = path.replace("{}", quote_from_bytes(part, safe=""), 1)
    text = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in query)
    more = {} if method in {"GET", "HEAD"} else {"data": body, "content_type": content_type}
    answer = send(method, f"{path}?{text}", headers=headers, **more)
    assert answer.status_code < 500, (method, path, text, headers, body)
    content = answer.body
    if content and not any(page in path for page in PAGES) and answer.status_code >= 400:
        # The documents of the APIs have a type of their own, which ends so too.
        assert answer["Content-Type"].endswith("json"), (method, path, answer.status_code)
        json.loads(content)
    if path.startswith("/api/"):
        assert SECRET.encode() not in content, "another customer's data"
