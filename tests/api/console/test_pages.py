"""The pages of the console (spec 12 §1), read as HTML: what they show, and to whom."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest
import time_machine

from api.metering.facets import ANY
from api.models import (
    BillingFinding,
    ConcurrentUsage,
    CoverageDay,
    InspectionAttempt,
    MachineImage,
    SetAsideTask,
)
from api.overview.samples import take_sample
from api.tasks.operators import sample_fleet
from tests import factories
from tests.api.console.conftest import CONSOLE, NOW, SCRIPT, pages_of
from tests.api.internal.callers import ANYBODY, B
from tests.api.metering.notation import at, day
from util.heartbeat import Heartbeat

pytestmark = pytest.mark.django_db


class Tables(HTMLParser):
    """The texts of a page's tables, by id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] | None = None
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs)["id"].removeprefix("t-"), [])
        elif self._rows is not None and tag == "tr":
            self._rows.append([])
        elif self._rows is not None and tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag == "table":
            self._rows = None
        elif tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data):
        if self._rows is not None and self._cell:
            self._rows[-1][-1] += data


def tables_of(response) -> dict[str, list[list[str]]]:
    return Tables(response.content.decode()).tables


def test_fleet_shows_what_there_is(environment, anybody):
    factories.make_azure_account(user=environment.user)
    numbers = dict(tables_of(anybody.get("/"))["numbers"][1:])
    assert numbers["customers"] == "1"
    assert (numbers["accounts"], numbers["AWS accounts"], numbers["Azure accounts"]) == (
        "2",
        "1",
        "1",
    )
    assert numbers["running RHEL"] == "1"
    assert numbers["oldest stale day"] == "none"


def test_fleet_is_read_from_the_newest_sample(environment, anybody):
    sample = take_sample(findings=[])
    type(sample).objects.update(running_rhel=4711)
    tables = tables_of(anybody.get("/"))
    assert dict(tables["numbers"][1:])["running RHEL"] == "4711"
    assert len(tables["freshness"]) == 2


def test_queues_that_are_not_known_are_said_to_be(environment, anybody):
    assert dict(tables_of(anybody.get("/"))["queues-now"][1:])["trail"] == "not known"


def test_fleet_names_what_needs_a_look(environment, anybody):
    image = factories.make_aws_image(status="inspecting")
    MachineImage.objects.filter(id=image.id).update(updated_at=at("2020-01-01T00"))
    [row] = tables_of(anybody.get("/"))["needs-a-look"][1:]
    assert image.cloud_image_id in row[0]
    assert "inspecting" in row[0]


def test_fleet_shows_what_doctor_finds(environment, anybody, aws, redis_client):
    """Stuck work from the sample of the last minute, silent processes as they are."""
    Heartbeat("listener").tell()
    SetAsideTask.objects.create(work="w", name="api.tasks.x", message={}, lost_processes=3)
    assert tables_of(anybody.get("/"))["findings"][1:] == [
        ["scheduler", "The scheduler was never heard of.", "CloudigradeSchedulerIsSilent"]
    ]
    sample_fleet()
    Heartbeat("beat").tell()
    found = tables_of(anybody.get("/"))["findings"][1:]
    [row] = [row for row in found if row[0] == "tasks set aside"]
    assert row[1].startswith("1 tasks api.tasks.x are set aside")
    assert "scheduler" not in {check for check, *_ in found}


def test_fleet_shows_explanations_that_failed(environment, anybody, aws, redis_client):
    """A number that was not that of its runs is named for a day (spec 12 §1.1)."""
    ConcurrentUsage.objects.filter(date=day(10)).update(maximum_counts=[[ANY] * 5 + [7]])
    anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/", 425)
    with time_machine.travel(at(NOW), tick=False):
        sample_fleet()
    [row] = [
        row for row in tables_of(anybody.get("/"))["findings"] if row[0] == "explained numbers"
    ]
    assert (
        f"1 days were not what their runs make: user {environment.user.id} on 2023-03-10" in row[1]
    )
    assert row[2] == "CloudigradeNumberUnexplained"


def test_customer_shows_usage_accounts_images_and_changes(environment, anybody):
    image = factories.make_aws_image(status="error")
    environment.instance(image=image)
    attempt = InspectionAttempt.objects.create(machine_image=image, error="no such snapshot")
    tables = tables_of(anybody.get(f"/customers/{environment.user.id}/"))
    usage = {row[0]: row[1] for row in tables["usage"][1:]}
    assert usage["2023-03-10"] == "2"
    assert usage["2023-03-11"] == "1"
    [account] = tables["accounts"][1:]
    assert account[2] == environment.account.aws_account_id
    assert account[-2:] == ["1", "?" * 14]
    [shown] = tables["images"][1:]
    assert shown[0] == image.cloud_image_id
    assert attempt.error in shown
    assert ["2023-03-10", "1"] in [row[1:3] for row in tables["changes"][1:]]


def test_usage_by_a_facet_has_a_column_for_each_value(environment, anybody):
    tables = tables_of(anybody.get(f"/customers/{environment.user.id}/", by="arch"))
    head, *rows = tables["usage"]
    assert head[:3] == ["day", "peak", "arch x86_64"]
    assert ["2023-03-10", "2", "2"] in [row[:3] for row in rows]


def test_acceptance_3_day_equals_explain(environment, anybody):
    """The day's page has the number, the peak and the runs of ``GET explain/`` (acceptance 3)."""
    page = anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/")
    with time_machine.travel(at("12T02"), tick=False):
        found = ANYBODY.get(f"{B}/explain/?user_id={environment.user.id}&date=2023-03-10").json()
    text = page.content.decode()
    assert f'<b id="count">{found["explanation"]["instances_count"]}</b>' in text
    assert "at 2023-03-10 09:00:00Z - 2023-03-10 10:00:00Z" in re.sub(r"\s+", " ", text)
    shown = [row[0] for row in tables_of(page)["runs"][1:]]
    assert shown == [run["instance"]["cloud_id"] for run in found["data"]]


def test_day_by_key_equals_explain(environment, anybody):
    page = anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/", arch="arm64")
    assert '<b id="count">0</b>' in page.content.decode()


def test_course_of_the_day_has_each_step(environment, anybody):
    rows = tables_of(anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/"))["course"][
        1:
    ]
    assert rows == [
        ["2023-03-10 00:00:00Z", "1"],
        ["2023-03-10 09:00:00Z", "2"],
        ["2023-03-10 10:00:00Z", "1"],
    ]


def test_stale_day_says_so(environment, anybody):
    factories.make_stale(
        user=environment.user, first_day=at("10T00").date(), last_day=at("10T00").date()
    )
    anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/", status=425)
    rows = tables_of(anybody.get(f"/customers/{environment.user.id}/"))["usage"]
    [stale] = [row for row in rows if row[0] == "2023-03-10"]
    assert (stale[1], stale[-1]) == ("", "stale")


def test_acceptance_8_partial_day_is_marked(environment, anybody):
    """A partial day is marked in the plot's data and said in words in the table (acceptance 8)."""
    for number, state in ((9, "complete"), (10, "partial"), (11, "complete")):
        CoverageDay.objects.create(cloud_account=environment.account, date=day(number), state=state)
    page = anybody.get(f"/customers/{environment.user.id}/")
    tables = tables_of(page)
    coverage = tables["usage"][0].index("coverage")
    states = {row[0]: row[coverage] for row in tables["usage"][1:]}
    assert [states[f"2023-03-{number:02}"] for number in (9, 10, 11)] == [
        "complete",
        "partial",
        "complete",
    ]
    assert '<td class="bad">partial</td>' in page.content.decode()
    assert 'data-marks="coverage"' in page.content.decode()
    [account] = tables["accounts"][1:]
    assert account[-1] == "?" * 10 + ".x.?"
    assert (
        "partial"
        in anybody.get(f"/customers/{environment.user.id}/days/2023-03-10/").content.decode()
    )


def test_fleet_counts_the_accounts_of_yesterday(environment, anybody):
    CoverageDay.objects.create(
        cloud_account=environment.account,
        date=day(11),
        state="partial",
        gaps=[{"from": "2023-03-11T00:00:00Z", "to": "2023-03-11T01:00:00Z", "reason": "x_y"}],
    )
    tables = tables_of(anybody.get("/"))
    assert tables["coverage"][1:] == [["partial", "1"]]
    assert tables["partial"][1:] == [
        [environment.account.aws_account_id, str(environment.user.id), "x_y"]
    ]


def test_findings_are_summed_by_kind(environment, anybody):
    for instance in (environment.first, environment.second):
        BillingFinding.objects.create(
            user=environment.user,
            instance=instance,
            kind="counted_but_billed",
            confidence="certain",
            seconds=5400,
        )
    tables = tables_of(anybody.get(f"/customers/{environment.user.id}/"))
    assert tables["findings"][1:] == [["counted_but_billed", "certain", "2", "3.0"]]


def test_instance_shows_its_timeline(environment, anybody):
    page = anybody.get(f"/instances/{environment.first.id}/")
    rows = tables_of(page)["timeline"][1:]
    assert [row[1] for row in rows if row[0] == "2023-03-10 10:00:00Z"] == [
        "event power_off",
        "run ended",
    ]
    assert "run 2023-03-09 22:00:00Z to 2023-03-10 10:00:00Z" in page.content.decode()


def test_acceptance_2_search_finds_each_kind_of_id(environment, anybody):
    """Each kind of id leads to its page; what nobody has is said to be unknown (acceptance 2)."""
    event = environment.first.events.order_by("id").first()
    type(event).objects.filter(id=event.id).update(source_id="86eac0ac-0000-4000-8000-00000000000a")
    azure = factories.make_azure_account(user=environment.user)
    here = f"{CONSOLE}/customers/{environment.user.id}/"
    instance = f"{CONSOLE}/instances/{environment.first.id}/"
    expected = {
        environment.user.org_id: here,
        environment.user.account_number: here,
        environment.account.aws_account_id: f"{here}#accounts",
        environment.account.account_arn: f"{here}#accounts",
        str(azure.subscription_id): f"{here}#accounts",
        environment.first.cloud_instance_id: instance,
        environment.first.cloud_instance_id.upper(): instance,
        environment.first.machine_image.cloud_image_id: (
            f"{CONSOLE}/images/{environment.first.machine_image_id}/"
        ),
        str(event.id): f"{instance}#timeline",
        "86eac0ac-0000-4000-8000-00000000000a": f"{instance}#timeline",
    }
    for wanted, url in expected.items():
        assert anybody.get("/search/", 302, q=f" {wanted} ")["Location"] == url, wanted
    for unknown in ("i-nobody", "999999999999999999999999", "x" * 10_000, "\0", SCRIPT, "%", "_"):
        page = anybody.get("/search/", 404, q=unknown).content.decode()
        assert "Nothing is known by" in page
        assert SCRIPT not in page


def test_search_lists_what_an_id_may_be(environment, anybody):
    event = environment.first.events.first()
    other = factories.make_user(org_id=str(event.id))
    rows = tables_of(anybody.get("/search/", q=str(event.id)))["hits"][1:]
    assert rows == [["org id or account number", str(other.id)], ["event", str(event.id)]]


def test_acceptance_5_tables_need_no_script(environment, anybody):
    """Every plot has its table on the page, open until a script draws it (acceptance 5)."""
    for path in pages_of(environment):
        text = anybody.get(path).content.decode()
        plotted = re.findall(r'data-table="t-([a-z-]+)"', text)
        assert set(plotted) <= set(tables_of(anybody.get(path)))
        assert text.count("<details open>") == len(plotted)


def test_acceptance_6_names_are_inert(environment, anybody):
    """A name that is a script is text, also one of 10,000 characters (acceptance 6)."""
    name = SCRIPT + "x" * 10_000
    image = factories.make_aws_image(name=name, status="error")
    environment.instance(image=image)
    for path in (f"/customers/{environment.user.id}/", f"/images/{image.id}/"):
        text = anybody.get(path).content.decode()
        assert SCRIPT not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_every_table_has_csv(environment, anybody):
    for path in pages_of(environment):
        text = anybody.get(path).content.decode()
        for query in re.findall(r'href="\?([^"]*csv=[a-z-]+)"', text):
            plain = query.replace("&amp;", "&")
            answer = anybody.get(f"{CONSOLE}{path.partition('?')[0]}?{plain}")
            assert answer["Content-Type"] == "text/csv; charset=utf-8"
            assert len(list(csv.reader(io.StringIO(answer.content.decode())))) >= 2
    anybody.get("/", 404, csv="nothing")


def test_cell_of_csv_is_no_formula(environment, anybody):
    image = factories.make_aws_image(name="=cmd()", status="error")
    environment.instance(image=image)
    answer = anybody.get(f"/customers/{environment.user.id}/", csv="images")
    assert "'=cmd()" in answer.content.decode()
