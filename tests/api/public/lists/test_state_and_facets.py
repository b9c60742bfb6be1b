"""The state of listed instances, and how many rows have each value (spec 11 §3, §5)."""

from collections import Counter

import pytest

from api.models import Instance, MachineImage
from api.public.timestamps import render_instant
from tests import factories
from tests.api.public.lists.expected import CREATED, everything, image_values, instance_values
from tests.factories import utc

pytestmark = pytest.mark.django_db


def test_state(as_a, environment):
    body = as_a.get("/instances/?include=state&limit=100").json()
    plain = as_a.get("/instances/?limit=100").json()["data"]
    states = {row["instance_id"]: row.pop("state") for row in body["data"]}
    assert body["data"] == plain
    for instance in Instance.objects.filter(cloud_account__user=environment):
        values = instance_values(environment, instance)
        state = states[instance.id]
        assert state.pop("billing") in ("own", "cloud", "unknown")
        assert state == {
            "status": values["status"],
            "since": None if values["status"] == "unknown" else render_instant(CREATED),
            "instance_type": values["instance_type"],
            "vcpu": 2
            if values["instance_type"] == "t3.large" and values["cloud_type"] == "aws"
            else None,
            "rhel": values["rhel"],
            "rhel_version": values["rhel_version"],
            "usage_operation": values["usage_operation"],
        }


def test_the_state_has_the_cpu_options_of_the_instance_and_its_billing(as_a, customer_a):
    instance = factories.make_instance(
        account=factories.make_aws_account(user=customer_a), image=factories.make_rhel_image()
    )
    Instance.objects.update(usage_operation="RunInstances:0010", instance_type="m5.large")
    for at, cores in (("2023-01-01", 4), ("2023-01-02", 1)):
        instance.facts.create(observed_at=utc(at), source="x", cpu_cores=cores, threads_per_core=1)
    (row,) = as_a.get("/instances/?include=state").json()["data"]
    assert (row["state"]["vcpu"], row["state"]["billing"]) == (1, "cloud")


def test_billing_is_a_filter(as_a, environment):
    states = as_a.get("/instances/?include=state&limit=100").json()["data"]
    by_class: dict[str, list[int]] = {"own": [], "cloud": [], "unknown": []}
    for row in states:
        by_class[row["state"]["billing"]].append(row["instance_id"])
    for name, ids in by_class.items():
        assert ids
        assert everything(as_a, f"/instances/?filter[billing]={name}", "instance_id") == ids


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/instances/", ""),
        ("/instances/", "&filter[region]=us-east-1,a_b%25c&filter[rhel]=true"),
        ("/instances/", "&running_since=2023-03-02"),
        ("/instances/", "&filter[region]=nowhere"),
        ("/images/", ""),
        ("/images/", "&filter[rhel]=true"),
    ],
)
def test_facets(as_a, environment, path, query):
    body = as_a.get(f"{path}?include=facets&limit=100{query}").json()
    key, model, values = (
        ("instance_id", Instance, instance_values)
        if path == "/instances/"
        else ("image_id", MachineImage, image_values)
    )
    rows = [values(environment, model.objects.get(id=row[key])) for row in body["data"]]
    names = {"/instances/": {"region", "instance_type", "status", "rhel_version"}}
    facets = body["meta"]["facets"]
    assert facets.keys() == names.get(path, {"region", "status", "rhel_version"})
    for name, counted in facets.items():
        expected = Counter(row[name] for row in rows)
        assert {one["value"]: one["count"] for one in counted} == expected
        numbers = [one["count"] for one in counted]
        assert numbers == sorted(numbers, reverse=True)


def test_facets_have_twenty_values_at_most(as_a, customer_a):
    account = factories.make_aws_account(user=customer_a)
    for number in range(25):
        factories.make_instance(account=account, region=f"region-{number:02}")
    factories.make_instance(account=account, region="region-24")
    region = as_a.get("/instances/?include=facets").json()["meta"]["facets"]["region"]
    assert [one["value"] for one in region] == [
        "region-24",
        *(f"region-{number:02}" for number in range(19)),
    ]
