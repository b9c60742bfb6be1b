"""Nobody sees anything of another customer, by whatever route and parameters.

Routes and parameters are those of the OpenAPI document, so new ones are walked too.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from api.models import Correction, CoverageDay, InstanceFact, Registration, User
from api.public import schema
from tests import factories
from tests.api.public.callers import ANYBODY, Caller, caller_for

pytestmark = pytest.mark.django_db


class Belongings:
    """What a customer has: two of each, and everything that only this customer may see of it."""

    def __init__(self, user: User, day) -> None:
        self.accounts = [
            factories.make_aws_account(user=user),
            factories.make_azure_account(user=user),
        ]
        for account in self.accounts:
            CoverageDay.objects.create(cloud_account=account, date=day, state="complete")
        self.images = [factories.make_image(account=account) for account in self.accounts]
        self.instances = [
            factories.make_instance(account=account, image=image)
            for account, image in zip(self.accounts, self.images, strict=True)
        ]
        for instance in self.instances:
            factories.make_run(instance=instance, start=factories.utc("2019-04-01"))
            Correction.objects.create(
                instance=instance,
                cloud_account=instance.cloud_account,
                kind=Correction.Kind.MISSED_OFF,
                unsure_to=datetime.combine(day, time(12), UTC),
            )
            InstanceFact.objects.create(
                instance=instance,
                observed_at=factories.utc("2019-04-01"),
                usage_operation="RunInstances:0010",
                licenses=["RHEL_BASE"],
            )
            Registration.objects.create(
                user=user,
                cloud=instance.cloud_type,
                cloud_id=instance.cloud_instance_id,
                registered_from=factories.utc("2019-04-01"),
                source="file",
            )
        role = f"role of {user.id}"
        factories.make_usage(user=user, date=day, counts=[["_ANY", role, "", "", "", 1]])
        self.marks = {
            role,
            *(account.cloud_account_number for account in self.accounts),
            *(image.cloud_image_id for image in self.images),
            *(instance.cloud_instance_id for instance in self.instances),
        }
        self.ids = {
            "account_id": {account.id for account in self.accounts},
            "image_id": {image.id for image in self.images},
            "instance_id": {instance.id for instance in self.instances},
        }


@pytest.fixture
def own(customer_b, spring_2019):
    return Belongings(customer_b, factories.utc("2019-04-16").date())


@pytest.fixture
def foreign(customer_a, own):
    """What the other customer has; there is a little of it before and after the own too."""
    return Belongings(customer_a, factories.utc("2019-04-16").date() - timedelta(days=1))


def values_of(name: str, described: dict, foreign: Belongings, own: Belongings) -> list[str]:
    """Return values that would lead to somebody's rows if the filter let them through."""
    by_name: dict[str, list[Any]] = {
        "cloud_account_id": [account.id for account in (*foreign.accounts, *own.accounts)],
        "machine_image_id": [image.id for image in (*foreign.images, *own.images)],
        "running_since": ["2019-04-01", "2019-03-01"],
        "architecture": ["x86_64", "x64"],
        "start_date": ["2019-04-15", "2019-04-16"],
        "end_date": ["2019-04-16", "2019-04-17"],
        "start": ["2019-04-15", "2019-04-01"],
        "end": ["2019-04-16", "2019-05-01"],
        "limit": [1, 100],
        "offset": [1, 3],
        "date": ["2019-04-15", "2019-04-16"],
        "arch": ["x86_64", ""],
        "role": ["Server"],
        "sla": ["Premium", ""],
        "usage": ["Production"],
        "service_type": [""],
        "filter[kind]": ["registered_but_billed", "missed_off"],
        "filter[account]": [account.id for account in (*foreign.accounts, *own.accounts)],
        "filter[region]": ["us-east-1,eastus"],
        "filter[instance]": [instance.id for instance in (*foreign.instances, *own.instances)],
        "filter[confidence]": ["certain"],
        "filter[image]": [image.id for image in (*foreign.images, *own.images)],
        "filter[cloud_id]": [
            *(one.cloud_instance_id for one in (*foreign.instances, *own.instances)),
            *(one.cloud_image_id for one in (*foreign.images, *own.images)),
        ],
        "filter[search]": [one.cloud_instance_id for one in (*foreign.instances, *own.instances)],
        "include": ["quality", "state,facets"],
    }
    if name in by_name:
        return [quote(str(value)) for value in by_name[name]]
    if described["type"] == "boolean":
        return ["true", "false"]
    return described.get("enum") or [quote(described.get("example", "a"))]


def parameters_of(operation: dict) -> Iterator[tuple[str, dict]]:
    """Yield the names of parameters, those in brackets one by one, and their schemas."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query" and parameter.get("style") == "deepObject":
            for member, described in parameter["schema"]["properties"].items():
                yield f"{parameter['name']}[{member}]", described
        elif parameter["in"] == "query":
            yield parameter["name"], parameter["schema"]


def is_paired(name: str, options: dict) -> bool:
    """Return whether a parameter is tried together with others: all of them where they are few."""
    return len(options) < 20 or "[" not in name


def queries_of(operation: dict, foreign: Belongings, own: Belongings) -> list[str]:
    options = {
        name: values_of(name, described, foreign, own)
        for name, described in parameters_of(operation)
    }
    queries = [""]
    queries += [f"?{name}={value}" for name, values in options.items() for value in values]
    few = [(name, values) for name, values in options.items() if is_paired(name, options)]
    for (one, ones), (two, twos) in itertools.combinations(few, 2):
        queries += [f"?{one}={ones[0]}&{two}={value}" for value in twos]
    return queries


def ids_in(body) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"account_id": set(), "image_id": set(), "instance_id": set()}
    aliases = {"cloud_account_id": "account_id", "machine_image_id": "image_id"}
    rows = body.get("data", [body]) if isinstance(body, dict) else []
    for row in rows:
        for name, value in row.items():
            known = aliases.get(name, name)
            if known in found and value is not None:
                found[known].add(value)
    return found


def without_links(answer) -> str:
    """Return the body without what repeats the question."""
    if not answer["Content-Type"].startswith("application/json"):
        return b"".join(answer).decode()
    body = answer.json()
    return json.dumps({**body, "links": None} if isinstance(body, dict) else body)


PATHS = schema.document()["paths"]


@pytest.mark.parametrize("path", PATHS)
def test_walk(path, as_b, own, foreign, own_aws_account):
    operation = PATHS[path]["get"]
    what = path.split("/")[1]
    ids = {"accounts": "account_id", "instances": "instance_id", "images": "image_id"}
    details = sorted(foreign.ids[ids[what]] | own.ids[ids[what]]) if "{id}" in path else [None]
    seen = 0
    for id, query in itertools.product(details, queries_of(operation, foreign, own)):
        answer = as_b.get(path.replace("{id}", str(id)) + query)
        text = without_links(answer)
        assert answer.status_code < 500
        assert not [mark for mark in foreign.marks if mark in text], (path, query)
        if answer.status_code == 200:
            seen += 1
            found = answer.json() if answer["Content-Type"] == "application/json" else {}
            for name, values in ids_in(found).items():
                assert values <= own.ids[name], (path, query)
        if id is not None and id in foreign.ids[ids[what]]:
            assert answer.status_code == 404
    assert seen


def test_the_own_is_seen(as_b, own, foreign):
    for path, key in (
        ("/accounts/", "account_id"),
        ("/instances/", "instance_id"),
        ("/images/", "image_id"),
        ("/coverage/?start_date=2019-04-16&end_date=2019-04-17", "account_id"),
    ):
        assert ids_in(as_b.get(path).json())[key] == own.ids[key]
    assert "role of" in as_b.get("/concurrent/").content.decode()
    findings = as_b.get("/billing-findings/").json()["data"]
    shown = {row["instance"]["instance_id"] for row in findings}
    assert shown == own.ids["instance_id"]


def test_an_image_is_seen_as_long_as_an_instance_uses_it(as_b, own, foreign):
    shared, instance = foreign.images[0], own.instances[0]
    path = f"/images/{shared.id}/"
    assert as_b.get(path).status_code == 404
    instance.machine_image = shared
    instance.save()
    assert as_b.get(path).status_code == 200
    assert as_b.get("/images/").json()["meta"]["count"] == 2
    instance.delete()
    assert as_b.get(path).status_code == 404


def test_a_customer_without_anything(own, foreign):
    stranger = caller_for(factories.make_user())
    for path in ("/accounts/", "/instances/", "/images/"):
        assert stranger.get(path).json()["data"] == []
    assert stranger.get("/concurrent/").status_code == 425


@pytest.mark.parametrize("path", PATHS)
def test_nobody_sees_nothing(path, own, foreign):
    id = foreign.accounts[0].id
    for who in (ANYBODY, Caller({"X-RH-CLOUDIGRADE-ORG-ID": "200002"})):
        answer = who.get(path.replace("{id}", str(id)))
        assert answer.status_code == (200 if path == "/azure-offer-template/" else 403)
