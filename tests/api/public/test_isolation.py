"""Nobody sees anything of another customer, by whatever route and parameters.

Routes and parameters are those of the OpenAPI document, so new ones are walked too.
"""

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from api.public import export, schema, urls
from tests import factories
from tests.api.public.belongings import Belongings, ids_in, text_of
from tests.api.public.callers import ANYBODY, Caller, caller_for

pytestmark = pytest.mark.django_db


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
        "filter[region]": [f"region {foreign.mark},region {own.mark}"],
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


PATHS = schema.document()["paths"]
OF_NOBODY = {"/sysconfig/", "/azure-offer-template/"}
"""What has nothing of any customer."""
UNDESCRIBED = {
    *("v2-root", "v2-openapi"),
    *("v2-swagger", "v2-swagger-openapi", "v2-docs-file", "v2-redoc"),
}
"""Names of the routes that are not in the document: pages about the API."""
KIND_OF_ID = {"accounts": "account", "instances": "instance", "images": "image"}


def test_all_routes_are_walked():
    """No route is forgotten: each is in the document, or has nothing of customers."""
    views = {pattern.callback.view_class for pattern in urls.urlpatterns}
    walked = {
        pattern.callback.view_class
        for pattern in urls.urlpatterns
        if f"/{pattern.pattern}".replace("<str:id>", "{id}") in PATHS
    }
    left_out = {
        pattern.callback.view_class for pattern in urls.urlpatterns if pattern.name in UNDESCRIBED
    }
    assert views == walked | left_out
    assert not walked & left_out
    assert set(export.VIEWS.values()) <= walked


@pytest.mark.parametrize("path", PATHS)
def test_walk(path, as_b, own, foreign, own_aws_account):
    """Nothing of the other customer is told, by whatever parameters, and something of the own."""
    operation = PATHS[path]["get"]
    kind = KIND_OF_ID.get(path.split("/")[1], "")
    details = sorted(foreign.ids[kind] | own.ids[kind]) if "{id}" in path else [None]
    seen = False
    for id, query in itertools.product(details, queries_of(operation, foreign, own)):
        answer = as_b.get(path.replace("{id}", str(id)) + query)
        text = text_of(answer)
        assert answer.status_code < 500
        assert not [mark for mark in foreign.marks if mark in text], (path, query)
        if answer.status_code == 200:
            found = ids_in(answer["Content-Type"], text)
            for name, values in found.items():
                assert values <= own.ids[name], (path, query)
            seen |= any(found.values()) or any(mark in text for mark in own.marks)
        if id is not None and id in foreign.ids[kind]:
            assert answer.status_code == 404
    assert seen is (path not in OF_NOBODY)


def test_the_own_is_seen(as_b, own, foreign):
    for path, kind in (
        ("/accounts/", "account"),
        ("/instances/", "instance"),
        ("/images/", "image"),
        ("/coverage/?start_date=2019-04-16&end_date=2019-04-17", "account"),
        ("/billing-findings/", "instance"),
        ("/explain/", "run"),
        ("/usage/?group_by[account]=*", "account"),
        ("/export/usage.csv?group_by[image]=*", "image"),
        ("/export/coverage.ndjson", "account"),
    ):
        answer = as_b.get(path)
        assert ids_in(answer["Content-Type"], text_of(answer))[kind] == own.ids[kind], path


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
