"""The OpenAPI document is true to what is served (spec 01 §11)."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from openapi_spec_validator import validate

from api.export.kinds import KINDS
from api.models import CloudAccount, Instance, InstanceFact, MachineImage
from api.public import schema
from tests import factories
from tests.api.documents import BY_CONTRACT, examples, served
from tests.api.public.callers import ANYBODY, BASE, identity
from util import clock

API = served(schema.document(), base_url=f"http://localhost{BASE}", seed=20200518)


@pytest.fixture
def everything(one_connection, customer_a, own_aws_account):
    """Customer A has some of everything that answers can show."""
    accounts = [
        factories.make_aws_account(user=customer_a),
        factories.make_azure_account(user=customer_a),
    ]
    images = [
        factories.make_rhel_image(
            inspection_json=json.dumps({"syspurpose": {"role": "potato"}, "rhel_version": "8"}),
            product_codes=[{"ProductCodeId": "x", "ProductCodeType": "marketplace"}],
            platform="windows",
        ),
        factories.make_aws_image(
            name=None,
            architecture=None,
            owner_aws_account_id=None,
            platform=None,
            region=None,
            platform_details=None,
            usage_operation=None,
        ),
        factories.make_azure_image(user=customer_a, region=None),
        None,
    ]
    for number, image in enumerate(images):
        instance = factories.make_instance(account=accounts[number == 2], image=image)
        factories.make_run(instance=instance, start=clock.now() - timedelta(days=1))
        InstanceFact.objects.create(
            instance=instance,
            observed_at=clock.now(),
            usage_operation=f"RunInstances:{number}010",
            product_codes=[{"ProductCodeId": "x", "ProductCodeType": "marketplace"}],
        )
    factories.make_usage_between(
        user=customer_a,
        first_day=clock.today() - timedelta(days=20),
        last_day=clock.today() - timedelta(days=1),
        counts=[["_ANY", "_ANY", "_ANY", "_ANY", "_ANY", 2], ["", "_ANY", "_ANY", "_ANY", "", 1]],
    )


AS_A = {"X-RH-IDENTITY": identity(account_number="100001")}


@API.parametrize()
@examples(15)
def test_whatever_is_sent(case, everything):
    case.call_and_validate(headers=AS_A, excluded_checks=BY_CONTRACT)


@pytest.mark.parametrize(
    ("kind", "model"),
    [("accounts", CloudAccount), ("instances", Instance), ("images", MachineImage)],
)
def test_single_objects(everything, kind, model):
    ids = model.objects.values_list("id", flat=True)
    assert len(ids) > 1
    for id in ids:
        case = API[f"/{kind}/{{id}}/"]["GET"].Case(path_parameters={"id": str(id)})
        assert case.call_and_validate(headers=AS_A).status_code == 200


@pytest.mark.parametrize(
    ("path", "query", "headers", "status"),
    [
        ("/concurrent/", {"start_date": str(clock.today() - timedelta(days=30))}, AS_A, 425),
        ("/concurrent/", {"start_date": "potato"}, AS_A, 400),
        ("/images/", {"status": "bogus"}, AS_A, 400),
        ("/sysconfig/", {}, {}, 403),
        ("/accounts/", {}, AS_A | {"Accept": "text/html"}, 406),
    ],
)
def test_errors(everything, path, query, headers, status):
    case = API[path]["GET"].Case(query=query)
    answer = case.call_and_validate(headers=headers, excluded_checks=BY_CONTRACT)
    assert answer.status_code == status


PAGE = ["limit", "offset"]
OPERATIONS = {
    "/accounts/": ("listCloudAccounts", ["api-v2"], PAGE),
    "/accounts/{id}/": ("retrieveCloudAccount", ["api-v2"], ["id"]),
    "/instances/": ("listInstances", ["api-v2"], [*PAGE, "running_since"]),
    "/instances/{id}/": ("retrieveInstance", ["api-v2"], ["id", "running_since"]),
    "/instances/{id}/timeline/": ("listInstanceTimeline", ["api-v2"], ["id", *PAGE]),
    "/coverage/": ("listCoverage", ["trust"], ["start_date", "end_date", "filter", *PAGE]),
    "/explain/": ("explainConcurrentUsage", ["usage"], ["date", "arch", *PAGE]),
    "/usage/": (
        "listUsage",
        ["usage"],
        ["start", "end", "granularity", "filter", "group_by", *PAGE],
    ),
    "/corrections/": ("listCorrections", ["trust"], ["start_date", "end_date", "filter", *PAGE]),
    "/usage-changes/": ("listUsageChanges", ["trust"], ["start_date", "end_date", *PAGE]),
    "/billing-findings/": ("listBillingFindings", ["billing"], ["start_date", "filter", *PAGE]),
    **{
        f"/export/{kind}.{form}": (f"export{kind.title()}As{form.title()}", ["export"], [])
        for kind in KINDS
        for form in ("csv", "ndjson")
    },
    "/images/": ("listMachineImages", ["api-v2"], [*PAGE, "architecture", "status"]),
    "/images/{id}/": ("retrieveMachineImage", ["api-v2"], ["id", "architecture", "status"]),
    "/sysconfig/": ("listSysconfigViewSets", ["setup"], []),
    "/azure-offer-template/": ("listAzureOfferTemplateViewSets", ["setup"], []),
    "/concurrent/": (
        "listDailyConcurrentUsages",
        ["usage"],
        [*PAGE, "start_date", "end_date", "include"],
    ),
}


def test_names():
    document = schema.document()
    assert document["openapi"] == "3.0.2"
    assert document["info"] == {"title": "Cloudigrade", "version": ""}
    assert "servers" not in document
    assert document["paths"].keys() == OPERATIONS.keys()
    for path, (operation_id, tags, parameters) in OPERATIONS.items():
        (operation,) = document["paths"][path].values()
        assert operation["operationId"] == operation_id
        assert operation["tags"] == tags
        assert set(parameters) <= {each["name"] for each in operation.get("parameters", [])}
    components = {"CloudAccount", "Instance", "MachineImage", "DailyConcurrentUsage"}
    assert components <= document["components"]["schemas"].keys()


def test_both_copies_are_valid_and_differ_by_title_only():
    served, kept = schema.document(), schema.document_to_keep()
    for document in (served, kept):
        validate(document)
    assert kept["info"]["title"] == "Cloudigrade public API v2"
    assert {**kept, "info": None} == {**served, "info": None}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/vnd.oai.openapi+json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("application/json", "application/json"),
    ],
)
def test_where_it_is_served(accept, content_type):
    answer = ANYBODY.get("/openapi.json", Accept=accept)
    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    assert json.loads(answer.content) == schema.document()
    assert ANYBODY.get("/openapi.json").status_code == 200


def test_the_copy_in_the_repository_is_current():
    call_command("openapi", "--check")


def test_a_stale_copy_is_named(tmp_path):
    call_command("openapi", "--folder", tmp_path)
    call_command("openapi", "--check", "--folder", tmp_path)
    (tmp_path / "openapi.json").write_text("{}")
    with pytest.raises(CommandError, match=r"openapi\.json"):
        call_command("openapi", "--check", "--folder", tmp_path)
