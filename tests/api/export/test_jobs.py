"""Exports that workers write to a bucket (spec 11 §4, §5)."""

import csv
import io
import json
from datetime import timedelta

import pytest
import requests
from django.test import Client

from api.clouds.aws.provisioning import export_bucket
from api.clouds.aws.session import clients, s3
from api.export import jobs
from api.export.columns import ColumnKind, ExportColumn
from api.export.tables import ExportTable
from api.models import ExportJob
from api.tasks.export import run_export_job
from tests import factories
from tests.api.export.conftest import body_of
from tests.memory import growth
from util import clock

pytestmark = pytest.mark.django_db

BASE = "/internal/api/cloudigrade/v1/exports/"


@pytest.fixture
def bucketless(aws, monkeypatch):
    """A fake AWS in which we have nothing."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    clients._roles.clear()
    clients._clients.clear()
    return aws


def post(**members):
    return Client(raise_request_exception=False).post(
        BASE, json.dumps(members), content_type="application/json"
    )


def get(job_id) -> dict:
    answer = Client(raise_request_exception=False).get(f"{BASE}{job_id}/")
    assert answer.status_code == 200
    return answer.json()


def test_a_job_is_queued_done_and_fetched(bucketless, customer, as_customer, queued):
    answer = post(user_id=customer.id, kind="runs", filters={"filter[rhel]": "true"}, format="csv")
    assert answer.status_code == 202
    job = answer.json()
    assert job == {
        "id": job["id"],
        "status": "queued",
        "url": None,
        "rows": None,
        "expires_at": None,
        "detail": "",
    }
    (task,) = queued
    assert (task.name, task.args) == ("api.tasks.run_export_job", (job["id"],))
    run_export_job(job["id"])
    done = get(job["id"])
    assert (done["status"], done["rows"], done["detail"]) == ("done", 2, "")
    assert done["expires_at"] > (clock.now() + timedelta(days=6)).isoformat()
    fetched = requests.get(done["url"], timeout=60)
    assert fetched.content == body_of(as_customer.get("/export/runs.csv?filter[rhel]=true"))
    assert fetched.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert len(list(csv.DictReader(io.StringIO(fetched.text, newline="")))) == 2


def test_ndjson(bucketless, customer):
    job_id = post(user_id=customer.id, kind="instances", format="ndjson").json()["id"]
    run_export_job(job_id)
    done = get(job_id)
    lines = requests.get(done["url"], timeout=60).content.splitlines()
    assert done["rows"] == len(lines) == 3
    assert all(json.loads(line)["cloud_type"] == "aws" for line in lines)


MILLION = 1_000_000


@pytest.mark.django_db(transaction=True)
def test_3_a_million_rows_take_no_more_memory_than_a_few(aws, monkeypatch):
    """Acceptance 3: a job writes them in flat memory."""
    user = factories.make_user()
    columns = [ExportColumn("n", "n", ColumnKind.INTEGER), ExportColumn("text", "repeat('x', 50)")]
    table = ExportTable(
        columns, "FROM generate_series(1, %s) number (n)", "ORDER BY number.n", parameters=[MILLION]
    )
    monkeypatch.setattr(jobs, "table_of", lambda *_: table)
    job = ExportJob.objects.create(user=user, kind="runs", format="csv")
    # The process that is measured has loaded what any job needs.
    export_bucket.ensure()
    assert growth(lambda: jobs.run_job(job.id)) < 30
    job.refresh_from_db()
    assert (job.status, job.rows) == ("done", MILLION)
    name = export_bucket.bucket().bucket
    size = s3().head_object(Bucket=name, Key=jobs.object_key(job))["ContentLength"]
    assert size == len("n,text\r\n") + sum(map(len, map(str, range(1, MILLION + 1)))) + 53 * MILLION


def test_the_bucket_is_private_encrypted_and_empties_itself(bucketless):
    assert export_bucket.is_right() is None
    export_bucket.ensure()
    assert export_bucket.is_right() is True
    name = export_bucket.bucket().bucket
    assert name.endswith("cloudigrade-exports")
    (rule,) = s3().get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert (rule["Status"], rule["Expiration"]) == ("Enabled", {"Days": 7})
    s3().delete_bucket_lifecycle(Bucket=name)
    assert export_bucket.is_right() is False
    export_bucket.ensure()
    assert export_bucket.is_right() is True


def test_a_job_that_fails_says_so_and_may_be_repeated(bucketless, customer, monkeypatch):
    job_id = post(user_id=customer.id, kind="runs").json()["id"]

    def broken():
        raise ConnectionError("no route")

    with monkeypatch.context() as patched:
        patched.setattr(export_bucket, "ensure", broken)
        with pytest.raises(ConnectionError):
            jobs.run_job(job_id)
    failed = get(job_id)
    assert (failed["status"], failed["url"], failed["detail"]) == (
        "failed",
        None,
        "ConnectionError",
    )
    jobs.run_job(job_id)
    assert get(job_id)["status"] == "done"


def test_a_job_that_is_done_is_not_done_again(bucketless, customer):
    job_id = post(user_id=customer.id, kind="runs").json()["id"]
    jobs.run_job(job_id)
    before = ExportJob.objects.get(id=job_id).updated_at
    jobs.run_job(job_id)
    assert ExportJob.objects.get(id=job_id).updated_at == before
    jobs.run_job(10**9)


def test_a_file_that_has_expired_has_no_url(bucketless, customer):
    job_id = post(user_id=customer.id, kind="runs").json()["id"]
    jobs.run_job(job_id)
    ExportJob.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    assert get(job_id)["url"] is None


@pytest.mark.parametrize(
    ("members", "status", "name"),
    [
        ({}, 400, "user_id"),
        ({"user_id": 10**30, "kind": "runs"}, 400, "user_id"),
        ({"user_id": "x", "kind": "runs"}, 400, "user_id"),
        ({"kind": "nothing"}, 400, "kind"),
        ({"kind": "runs", "format": "xls"}, 400, "format"),
        ({"kind": "runs", "filters": {"filter[foo]": "1"}}, 400, "filter[foo]"),
        ({"kind": "runs", "filters": ["x"]}, 400, "filters"),
        ({"kind": "runs", "filters": {"filter[instance]": "\0"}}, 400, None),
        ({"kind": "peaks", "filters": {"start_date": "2019-04-10"}}, 425, "detail"),
    ],
)
def test_what_makes_no_sense_is_refused(customer, queued, members, status, name):
    given = {} if not members else {"user_id": customer.id, **members}
    answer = post(**given)
    assert answer.status_code == status, answer.content
    assert name is None or name in answer.json()
    assert not ExportJob.objects.exists()
    assert list(queued) == []


@pytest.mark.parametrize("job_id", ["0", "999999999", "x", "9" * 40])
def test_jobs_that_there_are_not(db, job_id):
    answer = Client().get(f"{BASE}{job_id}/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_jobs_go_with_their_customer(bucketless, customer):
    post(user_id=customer.id, kind="runs")
    factories.make_user()
    customer.cloud_accounts.all().delete()
    customer.delete()
    assert not ExportJob.objects.exists()
