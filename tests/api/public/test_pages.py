"""Swagger UI and ReDoc (spec 01 §1; ``ENABLE_API_DOCS``)."""

import re

import pytest

from api.public import pages
from tests.api.public.callers import ANYBODY, BASE


@pytest.mark.parametrize("path", ["/docs/", "/redoc/"])
def test_a_page_needs_nobody_else(path):
    """Each script, style and image is served by ourselves, and the browser may ask no other."""
    answer = ANYBODY.get(path, Accept="text/html")
    named = re.findall(r"(?:src|href)=\"([^\"]+)\"", answer.content.decode())
    assert named
    for url in named:
        assert url.startswith(f"{BASE}/docs/static/")
        file = ANYBODY.get(url.removeprefix(BASE))
        name = url.removeprefix(f"{BASE}/docs/static/")
        assert (file.status_code, file["Content-Type"]) == (200, pages.FILES[name])
        assert file.content == (pages.FOLDER / name).read_bytes()
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "http" not in answer["Content-Security-Policy"]


def test_the_validator_of_others_is_off():
    assert '"validatorUrl": null' in ANYBODY.get("/docs/", Accept="text/html").content.decode()


def test_swagger_knows_where_to_send_requests():
    assert ANYBODY.get("/docs/openapi.json").json()["servers"] == [{"url": f"{BASE}/"}]


@pytest.mark.parametrize(
    "name",
    ["swagger-ui-dist/LICENSE", "nothing.js", "../../apps.py", "%2e%2e/%2e%2e/apps.py", "redoc/"],
)
def test_only_files_of_the_pages_are_served(name):
    assert ANYBODY.get(f"/docs/static/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/docs/", "/redoc/"])
def test_what_is_no_page_is_no_error_of_the_server(path):
    """OPTIONS has nothing to render, and other methods are refused."""
    answer = ANYBODY.get(path, method="OPTIONS")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "GET" in answer["Allow"]
    assert ANYBODY.get(path, method="POST").status_code == 405
