"""The pages that are shown: the fleet, the customer with a month of usage, a day, an instance."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from docs.console.chromium import Watched, chromium, watched_page

CONSOLE = "/internal/console/"

ASSOCIATE = base64.b64encode(
    json.dumps(
        {
            "identity": {
                "type": "Associate",
                "associate": {"givenName": "Ada", "surname": "Operator"},
            }
        }
    ).encode()
).decode()

SIZE = {"width": 1200, "height": 900}


def take_screenshots(base_url: str, folder: Path) -> Iterator[Path]:
    """Store and yield the pictures of four pages. Raises AssertionError for a page with a fault."""
    folder.mkdir(exist_ok=True)
    with chromium() as browser:
        watched = watched_page(
            browser, base_url, viewport=SIZE, extra_http_headers={"X-RH-IDENTITY": ASSOCIATE}
        )
        for name, path in _pages(watched):
            watched.load(path)
            watched.check()
            picture = folder / f"console-{name}.png"
            watched.page.screenshot(path=picture, full_page=False)
            yield picture


def _pages(watched: Watched) -> Iterator[tuple[str, str]]:
    """Yield name and path of each page; the later ones are found on those before."""
    yield "fleet", CONSOLE
    customer = f"{CONSOLE}customers/{_customer_with_history(watched)}/"
    yield "customer", customer
    days = watched.page.locator("#t-usage tbody tr").evaluate_all(
        "rows => rows.map(row => [row.cells[0].textContent, row.cells[1].textContent])"
    )
    day, _ = max(((day, int(peak)) for day, peak in days if peak.isdigit()), key=lambda one: one[1])
    yield "day", f"{customer}days/{day}/"
    link = watched.page.locator("#t-runs tbody th a").first.get_attribute("href")
    assert link
    yield "instance", link


def _customer_with_history(watched: Watched) -> int:
    """Return the id of the customer whom the demo gives a month of usage."""
    answer = watched.page.request.get("/internal/api/cloudigrade/v1/syntheticdatarequests/")
    user_id: int = answer.json()["data"][0]["user"]
    return user_id
