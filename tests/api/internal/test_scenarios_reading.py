"""Acceptance scenarios 1-12 and 19-20 (spec 02 §14): who may read, and what."""

import pytest

from api.models import ConcurrentUsage
from tests.api.internal.callers import ANYBODY, B, Caller, associate, customer, service
from tests.factories import make_instance, make_run, make_stale, utc

pytestmark = pytest.mark.django_db

AS_USER_1 = customer(account_number="100001")
UNKNOWN = "Incorrect authentication credentials."
NO_TENANT = (
    "Authentication Failed: identity account number or org id is required, "
    "but neither is present in request."
)
BAD_IDENTITY = "Authentication Failed: invalid identity header failed parsing."
NOT_READY = "Results are currently unavailable, try again later."


def test_scenario_01_a_service_finds_a_user_by_org_id(story):
    response = service().get(f"{B}/users/?org_id=200002")
    assert response.status_code == 200
    assert response.json()["meta"] == {"count": 1}
    assert set(response.json()["links"]) == {"first", "next", "previous", "last"}
    assert response.json()["data"] == [
        {
            "id": story.user1.id,
            "uuid": story.user1.uuid,
            "username": "100001",
            "account_number": "100001",
            "org_id": "200002",
            "is_permanent": False,
            "date_joined": "2022-06-01T05:06:07Z",
        }
    ]


def test_scenario_02_an_unknown_org_id_is_an_empty_list(story):
    page = f"{B}/users/?limit=10&offset=0&org_id=nope"
    assert service().get(f"{B}/users/?org_id=nope").json() == {
        "meta": {"count": 0},
        "links": {"first": page, "next": None, "previous": None, "last": page},
        "data": [],
    }


def test_scenario_03_a_wrong_key_is_refused_but_nobody_needs_one(story):
    refused = service("wrong").get(f"{B}/users/")
    assert refused.status_code == 403
    assert refused.json() == {"detail": "Authentication Failed: Invalid PSK specified in header"}
    assert "WWW-Authenticate" not in refused
    assert ANYBODY.get(f"{B}/users/").status_code == 200
    everybody = customer(account_number="999").get(f"{B}/users/")
    assert everybody.json()["meta"] == {"count": 2}


def test_scenario_04_a_broken_identity_is_refused_except_by_probes(story):
    broken = Caller({"X-RH-IDENTITY": "!!!"})
    refused = broken.get(f"{B}/users/")
    assert (refused.status_code, refused.json()) == (403, {"detail": BAD_IDENTITY})


@pytest.mark.django_db(transaction=True)
def test_scenario_04_the_probe_looks_at_no_header():
    assert Caller({"X-RH-IDENTITY": "!!!"}).get("/internal/healthz/").status_code == 200


def test_scenario_05_availability_is_checked_for_all_accounts_of_a_source(story, queued):
    assert ANYBODY.post(f"{B}/availability_status", {"source_id": "11"}).status_code == 204
    assert queued == [("api.tasks.enable_account", (story.aws.id,), {}, None)]
    queued.clear()
    none = ANYBODY.post(f"{B}/availability_status", {"source_id": "999"})
    assert (none.status_code, none.content) == (204, b"")
    assert queued == []
    missing = ANYBODY.post(f"{B}/availability_status", {})
    assert (missing.status_code, missing.json()) == (400, ["source_id field is required"])
    assert ANYBODY.post(f"{B}/availability_status/", {"source_id": "11"}).status_code == 404


def test_scenario_06_yesterday_is_what_concurrent_shows(story):
    response = AS_USER_1.get(f"{B}/concurrent/")
    assert response.status_code == 200
    assert response.json()["meta"] == {"count": 1}
    assert response.json()["links"]["first"] == f"{B}/concurrent/?limit=10&offset=0"
    [day] = response.json()["data"]
    assert day["date"] == "2022-06-09"
    assert day["maximum_counts"] == [
        {
            "arch": "_ANY",
            "role": "_ANY",
            "sla": "_ANY",
            "usage": "_ANY",
            "service_type": "_ANY",
            "instances_count": 1,
        }
    ]


def test_scenario_07_an_associate_looks_through_a_customer_s_eyes(story):
    alone = associate().get(f"{B}/concurrent/")
    assert (alone.status_code, alone.json()) == (403, {"detail": NO_TENANT})
    assert associate(account_number="100001").rows("concurrent/")[0]["date"] == "2022-06-09"
    stranger = associate(account_number="999").get(f"{B}/concurrent/")
    assert (stranger.status_code, stranger.json()) == (403, {"detail": UNKNOWN})


def test_scenario_08_today_is_shown_internally_only(story):
    query = "start_date=2022-06-10&end_date=2022-06-11"
    assert [day["date"] for day in AS_USER_1.rows(f"concurrent/?{query}")] == ["2022-06-10"]
    public = AS_USER_1.get(f"/api/cloudigrade/v2/concurrent/?{query}")
    assert public.status_code == 400
    assert public.json() == {
        "start_date": ["start_date cannot be today or in the future."],
        "end_date": ["end_date cannot be in the future."],
    }


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("start_date=2022-06-11", {"start_date": ["start_date cannot be in the future."]}),
        ("end_date=2022-06-12", {"end_date": ["end_date cannot be in the future."]}),
    ],
)
def test_scenario_09_the_future_is_refused(story, query, error):
    response = AS_USER_1.get(f"{B}/concurrent/?{query}")
    assert (response.status_code, response.json()) == (400, error)


def test_scenario_10_so_are_days_before_the_user_joined_and_no_dates(story):
    early = AS_USER_1.get(f"{B}/concurrent/?start_date=2022-05-31")
    assert early.status_code == 400
    assert early.json() == {
        "start_date": ["start_date must be same as or after the user creation date."]
    }
    words = AS_USER_1.get(f"{B}/concurrent/?start_date=potato&end_date=gems")
    assert words.status_code == 400
    assert words.json() == {
        "start_date": ["start_date must be a date (YYYY-MM-DD)."],
        "end_date": ["end_date must be a date (YYYY-MM-DD)."],
    }


@pytest.mark.parametrize("how", ["gone", "withdrawn"])
def test_scenario_11_a_missing_day_makes_the_page_unavailable(story, how):
    day = utc("2022-06-08").date()
    if how == "gone":
        ConcurrentUsage.objects.filter(date=day).delete()
    else:
        make_stale(user=story.user1, first_day=day, last_day=day)
    query = "start_date=2022-06-07&end_date=2022-06-10"
    response = AS_USER_1.get(f"{B}/concurrent/?{query}")
    assert (response.status_code, response.json()) == (425, {"detail": NOT_READY})
    assert AS_USER_1.rows(f"concurrent/?{query}&limit=1&offset=2")[0]["date"] == "2022-06-09"


def test_scenario_12_a_service_reads_for_an_org(story):
    assert service(org_id="200002").rows("concurrent/")[0]["date"] == "2022-06-09"


def test_start_date_today_alone_is_an_empty_page(story):
    """02 §6."""
    response = AS_USER_1.get(f"{B}/concurrent/?start_date=2022-06-10")
    assert (response.status_code, response.json()["data"]) == (200, [])


def test_an_empty_fake_identity_counts_as_no_identity(story):
    """02 §3."""
    caller = Caller(AS_USER_1.headers | {"X-RH-INTERNAL-FAKE-IDENTITY": ""})
    response = caller.get(f"{B}/concurrent/")
    assert (response.status_code, response.json()) == (403, {"detail": UNKNOWN})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_concurrent_is_only_read(story, method):
    response = AS_USER_1.send(method, f"{B}/concurrent/")
    assert response.status_code == 405
    assert response.json() == {"detail": f'Method "{method}" not allowed.'}


def test_scenario_19_filters_of_cloud_accounts(story):
    unknown = ANYBODY.get(f"{B}/cloudaccounts/?user=999999")
    assert unknown.status_code == 400
    assert unknown.json() == {
        "user": ["Select a valid choice. That choice is not one of the available choices."]
    }
    ids = [story.aws.id, story.azure.id]
    assert [row["id"] for row in ANYBODY.rows("cloudaccounts/?is_enabled=potato")] == ids
    assert [row["id"] for row in ANYBODY.rows("cloudaccounts/?platform_source_id=11")] == ids[:1]
    letters = ANYBODY.get(f"{B}/cloudaccounts/?object_id=abc")
    assert (letters.status_code, letters.json()) == (400, {"object_id": ["Enter a number."]})


def test_scenario_20_usage_tells_its_runs_if_asked(story):
    instance = make_instance(account=story.aws)
    others = make_instance(account=story.azure)
    run = make_run(instance=instance, start=utc("2022-06-01"), end=utc("2022-06-02"))
    late = make_run(instance=instance, start=utc("2022-06-02T23:59:59"))
    make_run(instance=make_instance(account=story.aws), start=utc("2022-06-03"))
    make_run(instance=others, start=utc("2022-06-01"))
    [row] = ANYBODY.rows("concurrentusages/?date=2022-06-02")
    assert "potentially_related_runs" not in row
    [row] = ANYBODY.rows("concurrentusages/?date=2022-06-02&include_runs=true")
    assert row["potentially_related_runs"] == [run.id, late.id]
    detail = ANYBODY.get(f"{B}/concurrentusages/{row['id']}/?include_runs=on")
    assert detail.json() == row


@pytest.mark.parametrize("word", ["", "2", "maybe", "tRUE", "None"])
def test_include_runs_takes_no_other_words(db, word):
    """02 §5.3."""
    response = ANYBODY.get(f"{B}/concurrentusages/?include_runs={word}")
    assert (response.status_code, response.json()) == (400, ["Must be a valid boolean."])


@pytest.mark.parametrize("word", ["0", "f", "N", "no", "FALSE", "Off"])
def test_include_runs_can_be_declined(story, word):
    assert (
        "potentially_related_runs"
        not in ANYBODY.rows(f"concurrentusages/?include_runs={word}&limit=1")[0]
    )


def test_days_of_a_run(story):
    """Filter ``run``: the days on which the run was on, its user's only (07 §5.1)."""
    instance = make_instance(account=story.aws)
    run = make_run(instance=instance, start=utc("2022-06-02T12:00"), end=utc("2022-06-04"))
    dates = [row["date"] for row in ANYBODY.rows(f"concurrentusages/?run={run.id}")]
    assert dates == ["2022-06-02", "2022-06-03", "2022-06-04"]
    run.end_time = None
    run.save()
    assert len(ANYBODY.rows(f"concurrentusages/?run={run.id}")) == 9
    assert ANYBODY.rows("concurrentusages/?run=987654321") == []


def test_withdrawn_days_count_as_gone(story):
    make_stale(user=story.user1, first_day=utc("2022-06-08").date())
    dates = [row["date"] for row in ANYBODY.rows("concurrentusages/")]
    assert dates == [f"2022-06-0{day}" for day in range(1, 8)]
