"""Headless Chromium: where it is, and a page that notes all that it should not do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

# The pages are our own; as root, Chromium has no sandbox.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

SECONDS = 60
"""How long a page may take: a machine may be busy with other things."""


def program() -> str | None:
    """Return where Chromium is, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser, and end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page with all that it complained of, and the hosts that it asked something of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def load(self, path: str) -> None:
        """Load a page of the console and wait until it is drawn. Raises AssertionError."""
        answer = self.page.goto(path, wait_until="networkidle")
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"

    def check(self) -> None:
        """Raise AssertionError if anything was wrong, or any host but ours was asked."""
        assert not self.complaints, self.complaints
        here = urlsplit(self.page.url).netloc
        assert self.hosts <= {here}, self.hosts


def watched_page(browser: Browser, base_url: str, **options: Any) -> Watched:
    """Open a page in a context of its own; ``options`` are Playwright's."""
    page = browser.new_context(base_url=base_url, **options).new_page()
    page.set_default_timeout(SECONDS * 1000)
    watched = Watched(page)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("console", lambda message: _note(watched, message))
    page.on("request", lambda request: watched.hosts.add(urlsplit(request.url).netloc))
    return watched


def _note(watched: Watched, message: Any) -> None:
    if message.type in ("error", "warning"):
        watched.complaints.append(message.text)
