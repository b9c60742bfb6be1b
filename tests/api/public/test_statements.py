"""Statements per request: few, and as many for a hundred rows as for ten."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.public import listings
from tests import factories

pytestmark = pytest.mark.django_db

LISTS = {
    "/accounts/": 2,
    "/accounts/?cloud_type=aws": 2,
    "/instances/": 3,
    "/instances/?running_since=2019-04-16": 3,
    "/images/": 2,
    "/images/?status=inspected&rhel_detected=false": 2,
    "/concurrent/?start_date=2019-01-02&end_date=2019-02-09": 2,
}


@pytest.fixture
def many(customer_a, usage_of_a):
    """A hundred accounts, each with an instance of an image of its own."""
    made = []
    for _ in range(100):
        account = factories.make_aws_account(user=customer_a)
        instance = factories.make_instance(account=account, image=factories.make_aws_image())
        factories.make_run(instance=instance, start=factories.utc("2019-04-01"))
        made.append(instance)
    return made


def statements(send) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = send()
    assert answer.status_code == 200
    return len(captured)


@pytest.mark.parametrize(("path", "expected"), LISTS.items())
def test_lists(as_a, many, path, expected):
    join = "&" if "?" in path else "?"
    for limit in (10, 100):
        assert statements(lambda: as_a.get(f"{path}{join}limit={limit}")) == expected  # noqa: B023


def test_deep_in_a_list(as_a, many, monkeypatch):
    monkeypatch.setattr(listings, "SHALLOW", 20)
    whole = as_a.get("/instances/?limit=100").json()["data"]
    for offset, expected in ((0, 3), (15, 4), (45, 4), (55, 4), (85, 3)):
        path = f"/instances/?limit=10&offset={offset}"
        assert as_a.get(path).json()["data"] == whole[offset : offset + 10]
        assert statements(lambda: as_a.get(path)) == expected  # noqa: B023


def test_single_objects(as_a, many):
    instance = many[50]
    for path in (
        f"/accounts/{instance.cloud_account_id}/",
        f"/instances/{instance.id}/",
        f"/images/{instance.machine_image_id}/",
    ):
        assert statements(lambda: as_a.get(path)) == 2  # noqa: B023


def test_without_rows(as_a):
    assert statements(lambda: as_a.get("/accounts/")) == 2
    assert statements(lambda: as_a.get("/accounts/?offset=5")) == 3
    assert statements(lambda: as_a.get("/instances/")) == 2


def test_without_database(as_a, own_aws_account):
    assert statements(lambda: as_a.get("/sysconfig/")) == 1
    assert statements(lambda: as_a.get("/azure-offer-template/")) == 0
    assert statements(lambda: as_a.get("/openapi.json")) == 0
