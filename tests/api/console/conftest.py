"""A customer of whom the console shows something, and whoever looks at it."""

from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client

from tests.api.internal.callers import ASSOCIATE
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at
from tests.api.public.callers import identity

CONSOLE = "/internal/console"
NOW = "12T02"

SCRIPT = "<script>alert(1)</script>"
"""Text that must never be part of a page's code."""


def pages_of(environment) -> list[str]:
    """Return the paths of a page of each kind, with something on it."""
    return [
        "/",
        f"/customers/{environment.user.id}/",
        f"/customers/{environment.user.id}/?by=role",
        f"/customers/{environment.user.id}/days/2023-03-10/",
        f"/instances/{environment.first.id}/",
        f"/images/{environment.first.machine_image_id}/",
        "/search/",
        "/audit/",
    ]


class Browser:
    """A client with headers, at two o'clock on 12 March 2023."""

    def __init__(self, headers: dict[str, str] | None = None, *, csrf: bool = False) -> None:
        self.client = Client(
            raise_request_exception=False, enforce_csrf_checks=csrf, headers=headers
        )

    def get(self, path: str = "/", status: int = 200, **data: str) -> Any:
        """Load a page; the path is below the console's."""
        return self._send("get", path, status, data)

    def post(self, path: str, status: int = 302, headers: Any = None, **data: Any) -> Any:
        """Send a form."""
        return self._send("post", path, status, data, headers=headers)

    def _send(self, method: str, path: str, status: int, data: dict, headers: Any = None) -> Any:
        url = path if path.startswith("/internal") else f"{CONSOLE}{path}"
        with time_machine.travel(at(NOW), tick=False):
            answer = getattr(self.client, method)(url, data, headers=headers)
        assert answer.status_code == status, answer.content.decode()[:2000]
        return answer


def associate(**options: Any) -> Browser:
    """A Red Hat associate."""
    return Browser({"X-RH-IDENTITY": ASSOCIATE}, **options)


def customer() -> Browser:
    """Somebody with a customer's identity."""
    return Browser({"X-RH-IDENTITY": identity(org_id="1")})


@pytest.fixture(autouse=True)
def empty_cache():
    """Nothing is cached from other tests."""
    cache.clear()


class Shown(Environment):
    """A customer whose largest number of 10 March is 2."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.instance("on 09T22, off 10T10", source_name="StartInstances")
        self.second = self.instance("on 10T09")
        self.recalculate(since="08T00")


@pytest.fixture
def environment(db, queued) -> Shown:
    """The customer of the tests."""
    return Shown()


@pytest.fixture
def anybody() -> Browser:
    """Somebody without any header."""
    return Browser()


@pytest.fixture
def operator() -> Browser:
    """A Red Hat associate."""
    return associate()
