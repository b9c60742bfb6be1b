"""Tables as CSV and NDJSON (spec 11 §4, §5)."""

import json

import pytest

from api.export.kinds import KINDS
from api.models import Instance, Run
from api.public import export as views
from tests import factories
from tests.api.export.conftest import body_of, csv_rows, json_rows
from tests.api.public.callers import ANYBODY, caller_for

pytestmark = pytest.mark.django_db

HEADERS = {
    "usage": "start,end,instance_seconds,vcpu_seconds,memory_mib_seconds,unsized_seconds,"
    "instance_hours,vcpu_hours,peak,final",
    "peaks": "date,arch,role,sla,usage,service_type,instances_count,revision,quality",
    "instances": "instance,account,cloud_type,cloud_id,region,instance_type,image,status,rhel,"
    "rhel_version,architecture,openshift,role,sla,usage,usage_operation,product_code,billing,"
    "finding,created_at,since,vcpu",
    "runs": "run,account,instance,cloud_id,image,rhel,start,end,type,vcpu,memory,arch,role,sla,"
    "usage,service_type,start_origin,end_origin",
    "findings": "kind,confidence,instance.instance_id,instance.cloud_type,instance.cloud_id,"
    "instance.region,cloud_account_id,image.image_id,image.cloud_id,image.name,from,until,seconds,"
    "vcpu_seconds",
    "coverage": "date,cloud_account_id,cloud_type,state,metered_seconds,gaps,newest_event_time,"
    "newest_delivery,log_files,describes_ok,describes_failed,corrections,max_event_age_seconds,"
    "max_queue_wait_seconds,computed_at",
}


@pytest.mark.parametrize("kind", KINDS)
def test_both_formats_have_the_same_rows(as_customer, kind):
    answer = as_customer.get(f"/export/{kind}.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="{kind}.csv"'
    rows = csv_rows(answer)
    assert rows
    assert ",".join(rows[0]) == HEADERS[kind]
    answer = as_customer.get(f"/export/{kind}.ndjson")
    assert answer["Content-Type"] == "application/x-ndjson; charset=utf-8"
    for cells, members in zip(rows, json_rows(answer), strict=True):
        assert list(members) == list(cells)
        for name, value in members.items():
            cell = cells[name]
            if value is None:
                assert cell == ""
            elif isinstance(value, list):
                assert json.loads(cell) == value
            elif isinstance(value, bool):
                assert cell == str(value).lower()
            elif isinstance(value, int | float):
                assert float(cell) == value
            else:
                assert cell in (value, f"'{value}")


def test_1_sums_are_those_of_the_api(as_customer):
    """Acceptance 1: what CSV adds up to is what the API adds up to."""
    (day,) = as_customer.get("/concurrent/").json()["data"]
    rows = csv_rows(as_customer.get("/export/peaks.csv"))
    assert sum(int(row["instances_count"]) for row in rows) == sum(
        one["instances_count"] for one in day["maximum_counts"]
    )
    findings = as_customer.get("/billing-findings/?limit=100").json()["data"]
    rows = csv_rows(as_customer.get("/export/findings.csv"))
    assert sum(int(row["seconds"]) for row in rows) == sum(one["seconds"] for one in findings)
    listed = as_customer.get("/instances/?limit=100").json()["data"]
    rows = csv_rows(as_customer.get("/export/instances.csv"))
    assert [row["instance"] for row in rows] == [str(one["instance_id"]) for one in listed]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "granularity=hour",
        "granularity=month&start=2019-03-01&end=2019-05-01",
        "granularity=month&start=2019-03-01&end=2019-05-01&group_by[image]=*",
        "start=2019-04-01&group_by[arch]=*&group_by[account]=*",
        "start=2019-04-01&group_by[instance_type]=*&filter[region]=us-east-1",
        "start=2019-04-01&group_by[billing]=*",
    ],
)
def test_1_usage_is_that_of_the_api(as_customer, query):
    """Acceptance 1: row by row what ``usage/`` tells, flattened."""
    listed = as_customer.get(f"/usage/?limit=100&{query}").json()["data"]
    rows = json_rows(as_customer.get(f"/export/usage.ndjson?{query}"))
    assert rows
    assert rows == [
        {
            name: value
            for member, told in one.items()
            for name, value in (
                {f"group.{key}": as_text(key, each) for key, each in told.items()}
                if member == "group"
                else {member: told}
            ).items()
        }
        for one in listed
    ]
    cells = csv_rows(as_customer.get(f"/export/usage.csv?{query}"))
    for name in ("instance_seconds", "vcpu_seconds", "peak"):
        assert sum(int(row[name]) for row in cells) == sum(one[name] for one in listed)


def as_text(name: str, value):
    """Return an id as exports have it."""
    return str(value) if name in ("account", "image") else value


def test_usage_of_no_time_at_all(as_customer):
    query = "start=2019-04-01&end=2019-04-01&group_by[arch]=*"
    assert as_customer.get(f"/usage/?{query}").json()["data"] == []
    assert csv_rows(as_customer.get(f"/export/usage.csv?{query}")) == []
    body = body_of(as_customer.get(f"/export/usage.csv?{query}"))
    assert body.startswith(b"start,end,group.arch,group.arch_normalized,instance_seconds,")


def test_usage_is_refused_as_the_list_is(as_customer):
    path = "usage.csv?granularity=hour&start=2019-01-01&end=2019-04-01"
    listed = as_customer.get(f"/{path.replace('.csv', '/')}")
    answer = as_customer.get(f"/export/{path}")
    assert (answer.status_code, answer.json()) == (400, listed.json())


def test_2_formulas_arrive_quoted(as_customer, customer):
    """Acceptance 2: spreadsheets execute no name of an image, whatever it begins with."""
    (row,) = csv_rows(as_customer.get("/export/findings.csv"))
    assert row["image.name"] == "'=cmd()|'/c calc'!A1"
    image = Instance.objects.filter(machine_image__isnull=False).first().machine_image
    for start in ("+1", "-1", "@x", "\tx", "\rx"):
        image.name = start
        image.save()
        (row,) = csv_rows(as_customer.get("/export/findings.csv"))
        assert row["image.name"] == f"'{start}"
        (row,) = json_rows(as_customer.get("/export/findings.ndjson"))
        assert row["image.name"] == start
    rows = csv_rows(as_customer.get("/export/peaks.csv"))
    assert [row["sla"] for row in rows] == ["_ANY", "'=Premium"]


def test_rows_end_as_rfc_4180_wants(as_customer, customer):
    Instance.objects.filter(machine_image=None).update(region='x,"y"\nz')
    body = body_of(as_customer.get("/export/instances.csv"))
    assert body.endswith(b"\r\n")
    assert b'"x,""y""\nz"' in body
    assert b'"x,""y""\r\nz"' not in body
    assert body.count(b"\r\n") == 1 + 3


def test_moments_have_microseconds_only_where_there_are_any(as_customer):
    rows = csv_rows(as_customer.get("/export/runs.csv"))
    assert {row["start"] for row in rows} >= {"2019-04-01T00:00:00Z", "2019-04-12T10:00:00.500000Z"}
    assert {row["end"] for row in rows} == {"", "2019-04-02T12:00:00Z"}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", 6),
        ("?start_date=2019-04-03", 3),
        ("?end_date=2019-04-03", 3),
        ("?start_date=2019-04-02&end_date=2019-04-13", 4),
        ("?filter[rhel]=true", 2),
        ("?filter[rhel]=false", 2),
        ("?filter[account]=999999999", 0),
    ],
)
def test_runs_are_all_that_touch_the_days(as_customer, query, rows):
    found = csv_rows(as_customer.get(f"/export/runs.csv{query}"))
    assert len(found) == rows


def test_runs_of_one_instance_by_either_id(as_customer, customer):
    run = Run.objects.filter(end_time=None).first()
    for value in (run.instance_id, run.instance.cloud_instance_id.upper()):
        found = csv_rows(as_customer.get(f"/export/runs.csv?filter[instance]={value}"))
        assert {row["instance"] for row in found} == {str(run.instance_id)}
        assert [row["start_origin"] for row in found] == ["", "describe_initial"]


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("runs.csv?filter[foo]=1", {"filter[foo]": ["Unknown filter."]}),
        (
            "runs.csv?start_date=x&filter[rhel]=y",
            {
                "start_date": ["start_date must be a date (YYYY-MM-DD)."],
                "filter[rhel]": ["Select a valid choice. y is not one of the available choices."],
            },
        ),
        ("instances.ndjson?filter[foo]=1", {"filter[foo]": ["Unknown filter."]}),
        ("peaks.csv?filter[foo]=1", {"filter[foo]": ["Unknown filter."]}),
        ("coverage.csv?start_date=x", {"start_date": ["start_date must be a date (YYYY-MM-DD)."]}),
    ],
)
def test_errors_are_those_of_the_lists(as_customer, path, errors):
    answer = as_customer.get(f"/export/{path}", Accept="text/csv, application/x-ndjson")
    assert (answer.status_code, answer.json()) == (400, errors)


def test_days_that_are_not_calculated(as_customer):
    answer = as_customer.get("/export/peaks.csv?start_date=2019-04-10")
    assert (answer.status_code, answer.json()) == (
        425,
        {"detail": "Results are currently unavailable, try again later."},
    )


def test_what_a_client_accepts(as_customer):
    for accept, status in (
        ("text/csv", 200),
        ("application/json", 200),
        ("*/*", 200),
        ("image/png", 406),
    ):
        answer = as_customer.get("/export/runs.csv", Accept=accept)
        assert answer.status_code == status
        # Read to its end: otherwise its transaction would end with it, somewhere in another test.
        assert b"".join(answer)
    assert as_customer.get("/export/nothing.csv").status_code == 404
    assert as_customer.get("/export/runs.xml").status_code == 404
    assert ANYBODY.get("/export/runs.csv").status_code == 403
    assert as_customer.get("/export/runs.csv", method="POST").status_code == 405
    head = as_customer.get("/export/runs.csv", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_too_many_rows_are_for_a_job(as_customer, monkeypatch):
    monkeypatch.setattr(views, "MOST_ROWS", 5)
    answer = as_customer.get("/export/runs.csv")
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "Too large, use an export job."},
    )
    monkeypatch.setattr(views, "MOST_ROWS", 6)
    assert len(csv_rows(as_customer.get("/export/runs.csv"))) == 6


def test_filters_are_those_of_the_list(as_customer, customer):
    rows = csv_rows(as_customer.get("/export/instances.csv?filter[rhel]=true"))
    listed = as_customer.get("/instances/?filter[rhel]=true").json()["data"]
    assert [row["instance"] for row in rows] == [str(one["instance_id"]) for one in listed]
    assert len(rows) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_5_tenants_never_meet(as_customer, customer, other, kind, form):
    """Acceptance 5: neither customer's table has anything of the other's."""
    marks = {
        user: {
            *(f"i{one.id}" for one in user.cloud_accounts.all()),
            *Instance.objects.filter(cloud_account__user=user).values_list(
                "cloud_instance_id", flat=True
            ),
        }
        for user in (customer, other)
    }
    for user, stranger in ((customer, other), (other, customer)):
        text = body_of(caller_for(user).get(f"/export/{kind}.{form}")).decode()
        assert not [mark for mark in marks[stranger] if mark in text]
    nobody = caller_for(factories.make_user())
    if kind not in ("peaks", "usage"):
        lines = body_of(nobody.get(f"/export/{kind}.{form}")).splitlines()
        assert len(lines) == (1 if form == "csv" else 0)
