"""Coverage and quality over HTTP (spec 10 §2, §4)."""

from itertools import product

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.models import CloudAccount, Correction
from tests import factories
from tests.api.coverage.conftest import correct, store_day
from tests.api.internal.callers import ANYBODY, B
from tests.api.metering.notation import at
from tests.api.trust.conftest import Asker

pytestmark = pytest.mark.django_db

ITEM = {
    "date": "2023-03-10",
    "cloud_type": "aws",
    "state": "corrected",
    "metered_seconds": 86400,
    "gaps": [
        {
            "from": "2023-03-10T06:00:00Z",
            "to": "2023-03-10T12:00:00Z",
            "reason": "correction",
        }
    ],
    "newest_event_time": "2023-03-10T05:00:00Z",
    "newest_delivery": None,
    "log_files": 3,
    "describes_ok": 4,
    "describes_failed": 1,
    "corrections": 1,
    "max_event_age_seconds": 900,
    "max_queue_wait_seconds": None,
    "computed_at": "2023-03-11T03:00:00Z",
}


@pytest.fixture
def ask(environment):
    CloudAccount.objects.update(created_at=at("2023-02-01T00"))
    return Asker(environment)


@pytest.fixture
def shown(environment):
    """The stored day that ``ITEM`` shows."""
    return store_day(
        environment.account,
        10,
        "corrected",
        ["10T06 10T12 correction"],
        metered_seconds=86400,
        newest_event_time=at("10T05"),
        log_files=3,
        describes_ok=4,
        describes_failed=1,
        corrections=1,
        max_event_age_seconds=900,
        computed_at=at("11T03"),
    )


def test_an_item(environment, ask, shown):
    page = ask.get("/coverage/?start_date=2023-03-10&end_date=2023-03-11")
    assert page["meta"] == {"count": 1}
    assert page["data"] == [ITEM | {"cloud_account_id": environment.account.id}]
    assert list(page["data"][0])[:3] == ["date", "cloud_account_id", "cloud_type"]


def test_days_order_pages_and_the_filter(environment, ask, django_assert_max_num_queries):
    other = factories.make_azure_account(user=environment.user)
    for number in (9, 10, 11, 12):
        store_day(other, number)
        store_day(environment.account, number)
    store_day(factories.make_aws_account(), 10)
    accounts = sorted((environment.account.id, other.id))
    page = ask.get("/coverage/?start_date=2023-03-10&end_date=2023-03-13&limit=4")
    assert page["meta"] == {"count": 6}
    found = [(one["date"][8:], one["cloud_account_id"]) for one in page["data"]]
    assert found == [(number, account) for number in ("10", "11") for account in accounts]
    one = f"filter[account]={other.id}"
    page = ask.get(f"/coverage/?start_date=2023-03-10&end_date=2023-03-13&{one}")
    assert [row["cloud_account_id"] for row in page["data"]] == [other.id] * 3
    assert {row["date"] for row in ask.get("/coverage/")["data"]} == {"2023-03-11"}
    assert ask.get("/coverage/?start_date=2023-03-10&offset=50")["meta"] == {"count": 4}
    with django_assert_max_num_queries(2):
        ask.get("/coverage/?start_date=2023-03-09&end_date=2023-03-13&limit=100")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("start_date=2023-03-12", ["start_date"]),
        ("end_date=2023-03-14", ["end_date"]),
        ("start_date=2022-12-31&end_date=x", ["start_date", "end_date"]),
        ("filter[account]=x", ["filter[account]"]),
        ("filter[foo]=1", ["filter[foo]"]),
    ],
)
def test_what_makes_no_sense_is_refused(ask, query, names):
    assert list(ask.get(f"/coverage/?{query}", status=400)) == names


def test_nothing_of_another_customer_appears(environment, ask, shown):
    stranger = factories.make_aws_account()
    store_day(stranger, 10, "partial", ["10T01 10T05 describe_gap"])
    page = ask.get(f"/coverage/?start_date=2023-03-10&filter[account]={stranger.id}")
    assert page["data"] == []
    assert len(ask.get("/coverage/?start_date=2023-03-10")["data"]) == 1


def wire_of_one_instance():
    """Yield the bytes of chapter 01 for one instance on the first of two days."""
    page = "/api/cloudigrade/v2/concurrent/?end_date=2023-03-12&limit=10&offset=0"
    page += "&start_date=2023-03-10"
    yield f'{{"meta":{{"count":2}},"links":{{"first":"{page}","next":null,"previous":null,'
    yield f'"last":"{page}"}},"data":[{{"date":"2023-03-10","maximum_counts":['
    separator = ""
    for (arch, role), sla, usage, service_type in product(
        (("_ANY", "_ANY"), ("x86_64", "_ANY"), ("_ANY", "Red Hat Enterprise Linux Server")),
        ("_ANY", "Premium"),
        ("_ANY", "Production"),
        ("_ANY", "L3"),
    ):
        yield f'{separator}{{"arch":"{arch}","role":"{role}","sla":"{sla}","usage":"{usage}",'
        yield f'"service_type":"{service_type}","instances_count":1}}'
        separator = ","
    yield ']},{"date":"2023-03-11","maximum_counts":[]}]}'


def test_acceptance_9_without_include_nothing_changes(environment, ask, shown):
    """Byte-equal, and not a statement more (issue: include=quality)."""
    environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    path = "/concurrent/?start_date=2023-03-10&end_date=2023-03-12"
    with time_machine.travel(at("12T02"), tick=False), CaptureQueriesContext(connection) as plain:
        answer = ask.caller.get(path)
        ignored = ask.caller.get(f"{path}&include=colour")
    assert not any("coverage" in query["sql"] for query in plain.captured_queries)
    assert answer.json()["data"] == ignored.json()["data"]
    assert all(list(day) == ["date", "maximum_counts"] for day in answer.json()["data"])
    assert answer.content.decode() == "".join(wire_of_one_instance())


def test_include_quality(environment, ask, shown):
    stopped = environment.instance("on 10T01, off 10T12")
    environment.instance("on 10T08, off 10T09")
    environment.recalculate(since="08T00")
    correct(stopped, "missed_off", "10T06", "10T12")
    path = "/concurrent/?start_date=2023-03-10&end_date=2023-03-12"
    first, second = ask.get(f"{path}&include=colour,quality")["data"]
    assert list(first) == ["date", "maximum_counts", "quality"]
    assert first["quality"] == {
        "state": "corrected",
        "count_min": 1,
        "count_max": 2,
        "gap_seconds": 21600,
    }
    assert second["quality"] == {
        "state": "open",
        "count_min": 0,
        "count_max": 0,
        "gap_seconds": 0,
    }


def test_include_quality_of_large_days(environment, ask, shown, monkeypatch):
    monkeypatch.setattr("api.metering.reports.BYTES_AT_ONCE", 100)
    environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    with time_machine.travel(at("12T02"), tick=False):
        answer = ask.caller.get(
            "/concurrent/?start_date=2023-03-10&end_date=2023-03-12&include=quality"
        )
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert answer.streaming
    assert text.count(b'"quality":{"state":') == 2


def test_operators_see_the_quality_of_today(environment, ask, shown):
    environment.recalculate(since="08T00")
    with time_machine.travel(at("12T02"), tick=False):
        answer = ANYBODY.get(
            f"{B}/concurrent/?start_date=2023-03-10&end_date=2023-03-13&include=quality",
            **{"X_RH_IDENTITY": ask.caller.headers["X-RH-IDENTITY"]},
        )
    assert [day["quality"]["state"] for day in answer.json()["data"]] == [
        "corrected",
        "open",
        "open",
    ]


def test_explain_tells_the_quality_of_its_number(environment, ask, shown):
    stopped = environment.instance("on 10T01, off 10T12")
    environment.instance("on 10T08, off 10T09")
    environment.recalculate(since="08T00")
    correct(stopped, "missed_off", "10T06", "10T12")
    about = ask.get("/explain/?date=2023-03-10")["explanation"]
    assert about["quality"] == {"state": "corrected", "count_min": 1, "count_max": 2}
    about = ask.get("/explain/?date=2023-03-10&arch=x86_64")["explanation"]
    assert about["quality"] == {"state": "corrected", "count_min": None, "count_max": None}
    Correction.objects.all().delete()
    about = ask.get("/explain/?date=2023-03-10")["explanation"]
    assert about["quality"] == {"state": "corrected", "count_min": 2, "count_max": 2}


def test_the_internal_twin(environment, ask, shown):
    other = factories.make_azure_account()
    store_day(other, 11, "partial")
    [row] = ANYBODY.rows(f"coverage/?user_id={environment.user.id}")
    assert {**ITEM, "cloud_account_id": environment.account.id, "user_id": environment.user.id} == {
        name: value for name, value in row.items() if name != "id"
    }
    assert [one["state"] for one in ANYBODY.rows("coverage/")] == ["corrected", "partial"]
    for query in (
        f"cloud_account={other.id}",
        f"account_id={other.id}",
        "state=partial",
        "date__gt=2023-03-10",
        "date=2023-03-11",
        f"org_id={other.user.org_id}",
    ):
        [row] = ANYBODY.rows(f"coverage/?{query}")
        assert row["cloud_account_id"] == other.id, query
    assert len(ANYBODY.rows("coverage/?date__lt=2023-03-11")) == 1
    for query in ("state=fine", "user_id=x", "date__gt=yesterday", "cloud_account=" + "9" * 30):
        assert ANYBODY.get(f"{B}/coverage/?{query}").status_code == 400, query
