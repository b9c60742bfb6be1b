"""URL roots (08 §7)."""

import sys

import pytest

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


@pytest.mark.parametrize("path", ["/", "/api/", "/api/cloudigrade/", "/metrics", "/healthz"])
def test_there_are_no_other_roots(client, path):
    assert client.get(path).status_code == 404
