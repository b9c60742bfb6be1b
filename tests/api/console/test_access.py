"""Whom the console answers, and how it refuses what there is not (spec 12 §1)."""

import re

import pytest
from django.urls import URLResolver, get_resolver

from tests.api.console.conftest import CONSOLE, Browser, associate, customer, pages_of
from tests.api.internal.callers import PSK

pytestmark = pytest.mark.django_db


def console_patterns() -> list:
    [console] = [
        one
        for one in get_resolver().url_patterns
        if str(one.pattern) == f"{CONSOLE}/".removeprefix("/")
    ]
    assert isinstance(console, URLResolver)
    return console.url_patterns


def console_urls(environment) -> list[str]:
    values = {
        "<int:user_id>": str(environment.user.id),
        "<str:day>": "2023-03-10",
        "<int:instance_id>": str(environment.first.id),
        "<int:image_id>": str(environment.first.machine_image_id),
        "<int:action_id>": "1",
        "<str:digest>": "0",
        "<path:name>": "console.css",
        "<path:anything>": "what/ever",
    }
    found = []
    for one in console_patterns():
        path = str(one.pattern)
        for placeholder, value in values.items():
            path = path.replace(placeholder, value)
        assert not set(path) & set("<>"), path
        found.append(f"/{path}")
    return found


@pytest.mark.parametrize(
    "caller",
    [Browser(), customer(), Browser({"X-RH-IDENTITY": "!!!"})],
    ids=["anybody", "customer", "malformed"],
)
def test_acceptance_9_strangers_get_403_on_each_url(environment, settings, caller):
    """With authentication required nobody else sees anything (acceptance 9)."""
    settings.INTERNAL_API_REQUIRE_AUTH = True
    for path in console_urls(environment):
        page = caller.get(path, 403).content.decode()
        assert environment.user.org_id not in page
        caller.post(path, 403)


def test_associates_and_services_may_read_where_authentication_is_required(environment, settings):
    settings.INTERNAL_API_REQUIRE_AUTH = True
    settings.CLOUDIGRADE_PSKS = {"svc": PSK}
    for caller in (associate(), Browser({"X-RH-CLOUDIGRADE-PSK": PSK})):
        for path in pages_of(environment):
            caller.get(path)


@pytest.mark.parametrize(
    "path",
    [
        "/customers/999999/",
        f"/customers/{2**63}/",
        f"/customers/{10**4000}/",
        "/customers/x/",
        "/instances/999999/",
        "/images/999999/",
        "/actions/999999/",
        "/actions/999999/progress/",
        "/what/ever/",
        "/static/0/../views.py",
        "/static/0/vendor/package.json",
    ],
)
def test_what_there_is_not_is_a_page_of_404(db, anybody, path):
    answer = anybody.get(path, 404)
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("text", ["potato", "2023-3-1", "20230310", "9999-01-01", "0000-00-00"])
def test_day_that_is_none_is_404(environment, anybody, text):
    anybody.get(f"/customers/{environment.user.id}/days/{text}/", 404)


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 30, "1.5", "٣"])
def test_page_that_is_no_number_is_400(environment, anybody, page):
    anybody.get("/audit/", 400, page=page)
    anybody.get(f"/instances/{environment.first.id}/", 400, page=page)


def test_key_with_arch_and_role_is_400_as_in_the_api(environment, anybody):
    anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/", 400, arch="a", role="b")
    anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/", 400, sla="\0")


def test_headers_keep_pages_to_themselves(environment, anybody):
    for path in [*pages_of(environment), "/what/ever/"]:
        answer = anybody.get(path, 404 if "ever" in path else 200)
        policy = answer["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer["X-Frame-Options"] == "DENY"
        text = answer.content.decode()
        assert not re.search(r"<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=", text)
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


def test_pages_are_in_no_transaction():
    """What explaining a number stores is kept although its page is an error."""
    for url in console_patterns():
        assert "default" in url.callback._non_atomic_requests
