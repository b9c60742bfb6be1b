"""The console in a real browser (spec 12 §1, acceptance 1, 3 to 6 and 8), headless Chromium."""

import datetime
import os
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe

from api.models import AuditEntry, CoverageDay, FleetSample
from docs.console.chromium import chromium, program, watched_page
from docs.console.pages import ASSOCIATE
from tests import factories
from tests.api.console.conftest import SCRIPT
from util import clock

NO_CHROMIUM = "no Chromium: install Debian's package chromium (.ci/run does it where it may)"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(program() is None, reason=NO_CHROMIUM),
    pytest.mark.django_db(transaction=True),
]

CONSOLE = "/internal/console"
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
TOTAL = ["_ANY"] * 5


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """One Chromium for all tests; Playwright runs an event loop in this thread."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with chromium() as started:
        yield started
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Shown:
    """A customer of today with something to see on every page."""

    def __init__(self) -> None:
        self.today = clock.today()
        self.user = factories.make_user(date_joined=clock.now() - datetime.timedelta(days=20))
        self.account = factories.make_aws_account(user=self.user)
        image = factories.make_rhel_image(name=SCRIPT + "x" * 10_000, status="error")
        self.instance = factories.make_instance(account=self.account, image=image)
        self.start = clock.now().replace(hour=0, minute=0) - datetime.timedelta(days=3, hours=1)
        factories.make_event(instance=self.instance, occurred_at=self.start)
        factories.make_run(instance=self.instance, start=self.start)
        for number in range(20):
            date = self.today - datetime.timedelta(days=number)
            # The run began on the fourth day back, an hour before midnight.
            count = 1 if number <= 4 else 0
            factories.make_usage(user=self.user, date=date, counts=[[*TOTAL, count]])
            CoverageDay.objects.create(
                cloud_account=self.account,
                date=date,
                state="partial" if number == 2 else "complete",
            )
        for minute in (20, 10, 0):
            sample = FleetSample.objects.create(event_age_p50=30, event_age_p95=60, queue_celery=1)
            at = clock.now() - datetime.timedelta(minutes=minute)
            FleetSample.objects.filter(id=sample.id).update(at=at)
        self.action = AuditEntry.objects.create(
            actor="Ada Operator",
            action="replay",
            user_id=self.user.id,
            target=f"customer {self.user.id}",
            outcome="running",
            total=5,
            done=2,
        )

    @property
    def day(self) -> datetime.date:
        """A day with something on, of which all is known."""
        return self.today - datetime.timedelta(days=1)

    @property
    def pages(self) -> dict[str, str]:
        """The pages by name."""
        customer = f"{CONSOLE}/customers/{self.user.id}/"
        return {
            "fleet": f"{CONSOLE}/",
            "customer": customer,
            "day": f"{customer}days/{self.day}/",
            "instance": f"{CONSOLE}/instances/{self.instance.id}/",
            "image": f"{CONSOLE}/images/{self.instance.machine_image_id}/",
            "search": f"{CONSOLE}/search/",
            "audit": f"{CONSOLE}/audit/",
            "action": f"{CONSOLE}/actions/{self.action.id}/",
        }


@pytest.fixture
def shown(db) -> Shown:
    """What there is to see."""
    return Shown()


@pytest.fixture
def watched(browser, live_server, shown) -> Iterator:
    """A page of an associate's browser."""
    made = watched_page(browser, live_server.url, extra_http_headers={"X-RH-IDENTITY": ASSOCIATE})
    yield made
    made.page.context.close()


def test_acceptance_1_no_error_and_nothing_from_elsewhere(watched, shown):
    """All pages load without an error, from our host alone (acceptance 1)."""
    for name, path in shown.pages.items():
        watched.page.goto(path, wait_until="load")
        watched.check()
        assert watched.page.locator("main h1").is_visible(), name


def test_plots_are_drawn_and_their_tables_are_behind_show_data(watched, shown):
    for name in ("fleet", "customer", "day"):
        watched.load(shown.pages[name])
        plots = watched.page.locator(".plot")
        assert plots.count() >= 1
        for place in plots.all():
            assert place.locator("canvas").is_visible()
        details = watched.page.locator("details").first
        assert not details.locator("table").is_visible()
        details.locator("summary").press("Enter")
        assert details.locator("table").is_visible()
    watched.check()


def test_acceptance_3_click_on_a_day_leads_to_its_number(watched, shown):
    """A click into the plot of usage opens the day, with the number of explain (acceptance 3)."""
    watched.load(shown.pages["customer"])
    over = watched.page.locator("#usage .u-over")
    box = over.bounding_box()
    # Of 20 days the last but one is yesterday.
    over.click(position={"x": box["width"] * 18 / 19, "y": box["height"] / 2})
    watched.page.wait_for_url(f"**/days/{shown.day}/")
    count = watched.page.locator("#count").inner_text()
    answer = watched.page.request.get(
        f"/internal/api/cloudigrade/v1/explain/?user_id={shown.user.id}&date={shown.day}"
    )
    assert count == str(answer.json()["explanation"]["instances_count"]) == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_acceptance_4_axe_finds_no_violation(browser, live_server, shown, scheme):
    """WCAG 2.2 AA by axe-core, in light and in dark (acceptance 4)."""
    watched = watched_page(
        browser,
        live_server.url,
        color_scheme=scheme,
        extra_http_headers={"X-RH-IDENTITY": ASSOCIATE},
    )
    for name, path in shown.pages.items():
        watched.page.goto(path, wait_until="load")
        for opened in (False, True)[: 1 + bool(watched.page.locator("details").count())]:
            watched.page.evaluate(
                "open => document.querySelectorAll('details').forEach(one => one.open = open)",
                opened,
            )
            found = Axe().run(watched.page, options=WCAG)
            assert not found.violations_count, (name, scheme, found.generate_report())
            unsure = [rule["id"] for rule in found.response["incomplete"]]
            print(f"{name}, {scheme}: {len(found.response['passes'])} rules hold, unsure: {unsure}")
    watched.page.context.close()


def test_acceptance_5_without_javascript_all_tables_are_readable(browser, live_server, shown):
    """Without JavaScript nothing but the plots is missing (acceptance 5)."""
    watched = watched_page(
        browser,
        live_server.url,
        java_script_enabled=False,
        extra_http_headers={"X-RH-IDENTITY": ASSOCIATE},
    )
    for name, path in shown.pages.items():
        watched.page.goto(path)
        tables = watched.page.locator("table")
        assert name == "search" or tables.count()
        for table in tables.all():
            assert table.is_visible(), name
            assert table.locator("tbody tr").first.is_visible(), name
        assert not watched.page.locator(".plot").first.is_visible()
    watched.page.goto(shown.pages["action"])
    watched.page.get_by_role("button", name="Cancel").click()
    assert "It ends after the step that it is at." in watched.page.locator("main").inner_text()
    watched.page.context.close()


def test_acceptance_6_script_in_a_name_is_inert(watched, shown):
    """What would be a script elsewhere is text here (acceptance 6)."""
    dialogs: list[str] = []
    watched.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for name in ("customer", "image"):
        watched.load(shown.pages[name])
        assert SCRIPT in watched.page.locator("main").inner_text()
    assert not dialogs
    watched.check()


def test_acceptance_8_partial_day_is_visibly_marked(watched, shown):
    """The plot has a red tick below the partial day, the table says so (acceptance 8)."""
    watched.load(shown.pages["customer"])
    red = watched.page.evaluate(
        """() => {
            const canvas = document.querySelector('#usage canvas');
            const { width, height } = canvas;
            const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
            let found = 0;
            for (let place = 0; place < data.length; place += 4)
                if (data[place] > 150 && data[place + 1] < 20 && data[place + 2] < 20) found += 1;
            return found;
        }"""
    )
    assert red > 10
    watched.page.locator("#usage summary").click()
    row = watched.page.locator("#t-usage tr", has_text=str(shown.today - datetime.timedelta(2)))
    assert "partial" in row.inner_text()


def test_progress_is_loaded_again_by_itself(watched, shown):
    watched.load(shown.pages["customer"])
    watched.page.goto(shown.pages["action"], wait_until="load")
    assert "2 of 5" in watched.page.locator("#progress").inner_text()
    AuditEntry.objects.filter(id=shown.action.id).update(
        done=5, outcome="done", finished_at=clock.now()
    )
    watched.page.locator("#progress b", has_text="done").wait_for()
    assert not watched.page.get_by_role("button", name="Cancel").count()
    watched.check()


# How often each page is loaded: the times that docs/performance.md shows are medians of five.
LOADS = int(os.environ.get("CLOUDIGRADE_PAINT_LOADS", "1"))
FIRST_PAINT = """() => ({
    paint: performance.getEntriesByName('first-contentful-paint').map(one => one.startTime),
    response: performance.getEntriesByType('navigation')[0].responseEnd,
    blocking: performance.getEntriesByType('resource')
        .filter(one => one.renderBlockingStatus === 'blocking').map(one => one.name),
})"""


def test_first_paint_waits_for_the_style_alone(browser, live_server, shown):
    """Pages are painted without their scripts; docs/performance.md has the times (spec 12 §1)."""
    for name, path in shown.pages.items():
        times = []
        for _ in range(LOADS):
            # A new context has nothing in its cache.
            watched = watched_page(
                browser, live_server.url, extra_http_headers={"X-RH-IDENTITY": ASSOCIATE}
            )
            watched.load(path)
            found = watched.page.evaluate(FIRST_PAINT)
            watched.page.context.close()
            [paint] = found["paint"]
            times.append((paint, found["response"]))
            assert [one.rpartition(".")[2] for one in found["blocking"]] == ["css"] * len(
                found["blocking"]
            )
        paint, response = sorted(times)[LOADS // 2]
        print(f"{name}: response after {response:.0f} ms, first paint after {paint:.0f} ms")


def test_search_by_keyboard(watched, shown):
    watched.load(shown.pages["fleet"])
    watched.page.keyboard.press("Tab")
    assert watched.page.locator(".skip").is_visible()
    for _ in range(3):
        watched.page.keyboard.press("Tab")
    watched.page.keyboard.type(shown.instance.cloud_instance_id)
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_url(f"**/instances/{shown.instance.id}/")


def test_page_in_a_frame_of_another_origin_stays_empty(watched, shown, live_server):
    """No other page can show ours in a frame (`frame-ancestors 'none'`)."""
    watched.page.set_content(f'<iframe src="{live_server.url}{shown.pages["fleet"]}"></iframe>')
    watched.page.wait_for_load_state("networkidle")
    frame = watched.page.frames[1]
    assert "Fleet" not in frame.content()
