"""No input makes a server error, and whatever is refused is refused with a page (spec 12 §1)."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest

from api.models import AuditEntry
from tests.api.console.conftest import CONSOLE, Browser, associate, pages_of

pytestmark = pytest.mark.django_db

ODD = [
    *("\0", "\ud800", "9" * 19, "9" * 5000, "-1", "0", "1e999", "\u0663", "[]", "../..", "%"),
    *("x" * 100_000, "'\"<script>", "a\r\nb: c", "9999-12-31", "0001-01-01", "2023-02-30"),
]
HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"
BROKEN_FORMS = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=\xff", b"x"),
    (FORM, b"&".join([b"a=1"] * 2000)),
]


def assert_refused(answer: Any) -> None:
    assert 400 <= answer.status_code < 500, answer.content[:200]
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:16])
def test_odd_parameters(environment, operator, value):
    for path in pages_of(environment):
        for query in ({name: value} for name in ("q", "by", "page", "csv")):
            text = urlencode({**query, "x": [value, value]}, doseq=True, errors="surrogatepass")
            page = path.partition("?")[0]
            answer = operator.client.get(f"{CONSOLE}{page}?{text}")
            assert answer.status_code < 500
            assert answer["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:16])
def test_odd_paths(environment, operator, value):
    odd = quote(value, safe="", errors="surrogatepass")
    for path in (f"customers/{odd}", f"instances/{odd}", f"images/{odd}", f"actions/{odd}", odd):
        assert_refused(operator.client.get(f"{CONSOLE}/{path}/", headers=HTML))
        assert_refused(operator.client.post(f"{CONSOLE}/{path}/", headers=HTML))
    assert_refused(operator.client.get(f"{CONSOLE}/static/{odd}/{odd}", headers=HTML))


@pytest.mark.parametrize("csrf", [False, True])
@pytest.mark.parametrize(("content_type", "body"), BROKEN_FORMS)
def test_broken_forms(environment, content_type, body, csrf):
    browser: Browser = associate(csrf=csrf)
    # What a page of ours has set, so that the form itself is looked at.
    browser.client.cookies["csrftoken"] = "a" * 32
    for action in ("recalculate", "replay", "import"):
        url = f"{CONSOLE}/customers/{environment.user.id}/{action}/"
        assert_refused(browser.client.generic("POST", url, body, content_type=content_type))
    assert {one.outcome for one in AuditEntry.objects.all()} == {"refused"}
    assert AuditEntry.objects.count() == 3


@pytest.mark.parametrize("host", ["[::1", "a b", "a\u00e9.com"])
def test_odd_hosts(environment, operator, host):
    for path in ("/", "/search/", "/nothing/"):
        assert_refused(operator.client.get(f"{CONSOLE}{path}", headers={"Host": host}))
