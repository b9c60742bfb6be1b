"""Bracket parameters beside others, over pages, and in links (spec 11 §3, §5)."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from api.models import Instance
from tests import factories
from tests.api.public.lists.expected import CREATED, everything

pytestmark = pytest.mark.django_db


def test_2_brackets_and_running_since(as_a, environment):
    """Acceptance 2: the combination with the plain parameters."""
    since = CREATED + timedelta(days=2)
    running = set(everything(as_a, f"/instances/?running_since={since:%Y-%m-%d}", "instance_id"))
    eastern = set(everything(as_a, "/instances/?filter[region]=us-east-1", "instance_id"))
    both = f"/instances/?running_since={since:%Y-%m-%d}&filter[region]=us-east-1"
    assert set(everything(as_a, both, "instance_id")) == running & eastern
    assert running & eastern
    account = environment.cloud_accounts.first().id
    assert set(everything(as_a, f"{both}&cloud_account_id={account}", "instance_id")) == {
        id for id in running & eastern if Instance.objects.get(id=id).cloud_account_id == account
    }


def test_2_errors_of_both_kinds_are_told_together(as_a, environment):
    answer = as_a.get("/instances/?running_since=x&filter[foo]=1&filter[rhel]=perhaps")
    assert answer.status_code == 400
    assert answer.json() == {
        "running_since": ["Enter a valid date/time."],
        "filter[foo]": ["Unknown filter."],
        "filter[rhel]": ["Select a valid choice. perhaps is not one of the available choices."],
    }


@pytest.mark.parametrize(
    ("part", "expected"),
    [("_b%", {"a_b%c"}), ("a_b", {"a_b%c"}), ("%", {"a_b%c"}), ("A-B", {"a-b-c"}), ("\\", set())],
)
def test_3_percent_and_underscore_mean_themselves(as_a, environment, part, expected):
    """Acceptance 3."""
    ids = everything(as_a, f"/instances/?filter[contains:region]={quote(part)}", "instance_id")
    assert set(Instance.objects.filter(id__in=ids).values_list("region", flat=True)) == expected


def test_4_without_brackets_the_lists_are_what_they_were(as_a, environment):
    """Acceptance 4: the members are those of before; see also test_statements."""
    for path in ("/instances/", "/images/"):
        body = as_a.get(path).json()
        assert body["meta"].keys() == {"count"}
        assert "state" not in body["data"][0]
        same = as_a.get(f"{path}?order_by=region&filter=x&search=abc&group_by[region]=*").json()
        assert same["data"] == body["data"]


def test_5_pages_keep_their_order_while_rows_are_added(as_a, environment):
    """Acceptance 5: equal values are in the contract's order, so that later rows come later."""
    path = "/instances/?filter[region]=us-east-1&order_by[region]=desc&limit=4"
    whole = everything(as_a, path, "instance_id")
    seen: list[int] = []
    link = path
    for _ in range(3):
        body = as_a.get(link).json()
        seen += [row["instance_id"] for row in body["data"]]
        link = body["links"]["next"].partition("/v2")[2]
        factories.make_instance(account=environment.cloud_accounts.first(), region="us-east-1")
    assert seen == whole[:12]


def test_links_keep_brackets(as_a, environment):
    body = as_a.get("/instances/?filter[region]=us-east-1,a_b%25c&limit=1&include=state").json()
    assert body["links"]["next"].endswith(
        "?filter%5Bregion%5D=us-east-1%2Ca_b%25c&include=state&limit=1&offset=1"
    )
    assert as_a.get(body["links"]["next"].partition("/v2")[2]).json()["data"] != body["data"]


def test_7_details_ignore_brackets(as_a, environment):
    """Acceptance 7."""
    for path, key in (("/instances/", "instance_id"), ("/images/", "image_id")):
        row = as_a.get(path).json()["data"][0]
        query = "filter[region]=nowhere&filter[foo]=1&include=state,facets"
        answer = as_a.get(f"{path}{row[key]}/?{query}")
        assert (answer.status_code, answer.json()) == (200, row)
