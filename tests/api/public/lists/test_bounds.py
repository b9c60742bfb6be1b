"""Filtered lists are a customer's own, and few statements (spec 11 §3)."""

from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.models import Instance
from tests.api.public.callers import caller_for
from tests.api.public.lists.expected import everything

pytestmark = pytest.mark.django_db


def test_tenants_never_meet(environment, customer_b):
    as_b = caller_for(customer_b)
    for path, key in (("/instances/", "instance_id"), ("/images/", "image_id")):
        own = set(everything(as_b, path, key))
        for query in (
            "exclude[region]=nowhere",
            "order_by[region]=desc",
            "filter[cloud_type]=aws,azure",
            "filter[contains:cloud_id]=a,i,e,s",
        ):
            assert set(everything(as_b, f"{path}?{query}&limit=100", key)) <= own
    foreign = Instance.objects.filter(cloud_account__user=environment).first()
    for query in (
        f"filter[cloud_id]={quote(foreign.cloud_instance_id)}",
        f"filter[account]={foreign.cloud_account_id}",
        f"filter[search]={quote(foreign.cloud_instance_id)}",
    ):
        body = as_b.get(f"/instances/?{query}&include=state,facets").json()
        assert (body["meta"]["count"], body["data"]) == (0, [])
        assert not any(body["meta"]["facets"].values())


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/instances/?filter[rhel]=true&include=state,facets&order_by[role]=asc", 4),
        ("/instances/?filter[billing]=own&limit=100", 3),
        ("/images/?filter[rhel]=true&include=facets", 3),
    ],
)
def test_statements(as_a, environment, path, most):
    """Five at most; the customer's own is one of them."""
    with CaptureQueriesContext(connection) as captured:
        assert as_a.get(path).status_code == 200
    assert len(captured) == most
