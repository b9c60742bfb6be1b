"""What operators see of one customer, or have exported, has nothing of another (spec 11 §1-§4)."""

from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from api.export import jobs
from api.export.kinds import KINDS
from api.export.tables import CSV, NDJSON
from api.internal import openapi
from api.models import ExportJob
from tests.api.internal.callers import ANYBODY, B
from tests.api.public.belongings import Belongings, ids_in, text_of

pytestmark = pytest.mark.django_db

CUSTOMER = {
    "user_id": lambda user: user.id,
    "user": lambda user: user.id,
    "account_number": lambda user: user.account_number,
}
"""The parameters that name a customer."""


def lists_of_a_customer():
    """Yield the internal lists that one of the parameters limits to a customer."""
    for path, operations in openapi.document()["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", []):
            if parameter["name"] in CUSTOMER and parameter["in"] == "query":
                yield path, parameter["name"]


def is_told(belongings: Belongings, answer) -> bool:
    text = text_of(answer)
    found = ids_in(answer["Content-Type"], text)
    return any(mark in text for mark in belongings.marks) or any(
        found[kind] & ids for kind, ids in belongings.ids.items()
    )


@pytest.mark.parametrize(("path", "name"), [*lists_of_a_customer()])
def test_lists_of_one_customer(path, name, own, foreign):
    """All that a list without the parameter tells of the customer, and nothing of the other."""
    more = "limit=100&group_by[account]=*" if path.endswith("/usage/") else "limit=100"
    everything = ANYBODY.get(f"{path}?{more}")
    answer = ANYBODY.get(f"{path}?{name}={CUSTOMER[name](own.user)}&{more}")
    assert answer.status_code == 200
    assert not is_told(foreign, answer)
    needs_one = everything.status_code == 400
    assert is_told(own, answer) == (needs_one or is_told(own, everything))


def written(user, kind, form, **filters) -> tuple[ExportJob, str]:
    """Have a job done; return it and the URL of its file."""
    asked = {"user_id": user.id, "kind": kind, "format": form, "filters": filters}
    answer = ANYBODY.post(f"{B}/exports/", asked)
    assert answer.status_code == 202, answer.content
    job = ExportJob.objects.get(id=answer.json()["id"])
    jobs.run_job(job.id)
    return job, ANYBODY.get(f"{B}/exports/{job.id}/").json()["url"]


@pytest.mark.parametrize("form", [CSV, NDJSON])
@pytest.mark.parametrize("kind", KINDS)
def test_export_jobs_and_their_urls(kind, form, own, foreign, aws):
    """A job's file has the customer's rows alone, and its URL is good for no other file."""
    files = {}
    for belongings, other in ((own, foreign), (foreign, own)):
        job, url = written(belongings.user, kind, form)
        assert jobs.object_key(job).split("/")[1] == str(belongings.user.id)
        fetched = requests.get(url, timeout=60)
        assert not [mark for mark in other.marks if mark in fetched.text]
        for name, values in ids_in(fetched.headers["Content-Type"], fetched.text).items():
            assert values <= belongings.ids[name], name
        assert fetched.text.count("\n") > (form == CSV)
        files[belongings.user.id] = (job, url)
    assert_good_for_one_file_alone(files[own.user.id], files[foreign.user.id])


def assert_good_for_one_file_alone(*files: tuple[ExportJob, str]) -> None:
    """What is signed differs by the key alone, so that of one file is not good for another."""
    (job, url), (other, other_url) = files
    signed, others = urlsplit(url), urlsplit(other_url)
    assert signed.path.endswith(f"/{jobs.object_key(job)}")
    assert others.path.endswith(f"/{jobs.object_key(other)}")
    assert parse_qs(signed.query).keys() == parse_qs(others.query).keys()
    assert signature_of(signed.query) != signature_of(others.query)


def signature_of(query: str) -> list[str]:
    (signature,) = [values for name, values in parse_qs(query).items() if "Signature" in name]
    return signature


def test_filters_of_a_job_lead_to_nobody_else(own, foreign, aws):
    """An account, instance or image of another customer selects nothing."""
    for kind, name, ids in (
        ("runs", "account", foreign.ids["account"]),
        ("runs", "instance", foreign.ids["instance"]),
        ("instances", "image", foreign.ids["image"]),
        ("coverage", "account", foreign.ids["account"]),
    ):
        _, url = written(own.user, kind, NDJSON, **{f"filter[{name}]": str(min(ids))})
        assert requests.get(url, timeout=60).content == b""
