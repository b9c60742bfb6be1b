"""URL roots (08 §7)."""

import sys

import pytest
from django.urls import reverse

from tests.cloudigrade.programs import run

ASK = """
import django, sys
django.setup()
from django.test import Client
client = Client()
print(*(client.get(path).status_code for path in sys.argv[1:]))
"""


@pytest.mark.parametrize(("name", "login"), [("prod", 404), ("stage", 200)])
def test_scenario_08_the_admin_is_outside_production_only(name, login):
    done = run(
        sys.executable,
        "-c",
        ASK,
        "/api-auth/login/",
        "/admin",
        "/static/admin/css/base.css",
        CLOUDIGRADE_ENVIRONMENT=name,
        DJANGO_CONSOLE_LOG_LEVEL="CRITICAL",
        DJANGO_ATOMIC_REQUESTS="false",
    )
    found = [int(status) for status in done.stdout.split()]
    assert found == ([404, 404, 404] if name == "prod" else [200, 301, 200]), done.stderr
    assert found[0] == login


@pytest.mark.parametrize(
    ("switch", "statuses"), [(None, [404] * 5), ("false", [404] * 5), ("true", [200] * 4 + [404])]
)
def test_pages_of_the_api_are_in_production_if_they_are_asked_for(switch, statuses):
    """Operations issue, item 2: with their files, and without those of the admin."""
    pages = "/api/cloudigrade/v2"
    done = run(
        sys.executable,
        "-c",
        ASK,
        f"{pages}/docs/",
        f"{pages}/docs/openapi.json",
        f"{pages}/docs/static/swagger-ui-dist/swagger-ui-bundle.js",
        f"{pages}/redoc/",
        "/static/admin/css/base.css",
        CLOUDIGRADE_ENVIRONMENT="prod",
        ENABLE_API_DOCS=switch,
        DJANGO_CONSOLE_LOG_LEVEL="CRITICAL",
        DJANGO_ATOMIC_REQUESTS="false",
    )
    assert [int(status) for status in done.stdout.split()] == statuses, done.stderr


@pytest.mark.parametrize("path", ["/", "/api/", "/api/cloudigrade/", "/metrics", "/healthz"])
def test_there_are_no_other_roots(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("v2-concurrent-list", "/api/cloudigrade/v2/concurrent/"),
        ("v2-sysconfig-list", "/api/cloudigrade/v2/sysconfig/"),
        (
            "internal-availability-status",
            "/internal/api/cloudigrade/v1/availability_status",
        ),
        ("health_check:health_check_home", "/internal/healthz/"),
        ("prometheus-django-metrics", "/internal/metrics"),
    ],
)
def test_views_that_sentry_samples_have_their_names(name, path):
    """08 §4 L, 02 §8."""
    assert reverse(name) == path
