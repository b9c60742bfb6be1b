"""The internal OpenAPI document is true to what is served (spec 02 §10; scenario 36)."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import override_settings
from openapi_spec_validator import validate

from api.internal import openapi, records
from api.internal.coverage import COVERAGE
from api.internal.resources import AUDIT_ENTRIES
from api.models import (
    AuditEntry,
    CoverageDay,
    InspectionAttempt,
    SetAsideTask,
    SyntheticDataRequest,
)
from tests.api.documents import BY_CONTRACT, examples, served
from tests.api.internal.callers import ANYBODY, B, service
from tests.api.internal.record_rows import Subject, store_records
from tests.api.public.conftest import one_connection  # noqa: F401
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_azure_account,
    make_azure_image,
    make_definition,
    make_event,
    make_instance,
    make_rhel_image,
    make_run,
    make_usage_between,
    make_user,
)
from util import clock

API = served(openapi.document(), base_url="http://localhost", seed=20220601)
ADDED = [resource.model for resource in (*records.RESOURCES, COVERAGE, AUDIT_ENTRIES)]
ON_TOP = 8 + 2 * len(ADDED)

AS_SERVICE = service(org_id="200002").headers


@pytest.fixture
def everything(db, one_connection, queued, clouds) -> None:  # noqa: F811
    """There is some of everything."""
    user = make_user(account_number="100001", org_id="200002")
    rhel = make_rhel_image()
    copy = make_aws_image(reference_image=rhel, name=None, platform=None)
    azure_image = make_azure_image(user=user)
    for account, image in (
        (make_aws_account(user=user), rhel),
        (make_aws_account(user=user), copy),
        (make_azure_account(user=user), azure_image),
        (make_azure_account(user=user), None),
    ):
        instance = make_instance(account=account, image=image)
        make_event(instance=instance)
        make_run(instance=instance, start=clock.now() - timedelta(days=3))
    make_usage_between(
        user=user,
        first_day=clock.today() - timedelta(days=20),
        last_day=clock.today(),
        counts=[["_ANY", "_ANY", "_ANY", "_ANY", "_ANY", 2]],
    )
    store_records(Subject(user, instance.cloud_account, rhel, instance), first=1, count=2)
    make_definition(json_definition='{"a": 1}')
    make_definition(json_definition={"a": 1}, vcpu="0.75")
    InspectionAttempt.objects.create(machine_image=rhel)
    CoverageDay.objects.create(
        cloud_account=instance.cloud_account, date=clock.today(), state="open"
    )
    SyntheticDataRequest.objects.create(cloud_type="azure", user=user)
    AuditEntry.objects.create(actor="J D", action="reinspect", outcome="done")
    SetAsideTask.objects.create(
        work="a", task_id="b", name="c", arguments="d", message={}, lost_processes=3
    )


@pytest.mark.slow
@API.parametrize()
@examples(5)
def test_whatever_is_sent(case, everything):
    case.call_and_validate(headers=AS_SERVICE, excluded_checks=BY_CONTRACT)


OF_A_CUSTOMER = ("/explain/", "/billing-findings/", "/v1/usage/")
"""Routes that demand a ``user_id``."""

LISTS = sorted(
    path
    for path, operations in openapi.document()["paths"].items()
    if "get" in operations and "{" not in path and not path.endswith(OF_A_CUSTOMER)
)


@pytest.mark.parametrize("path", LISTS)
def test_what_is_shown(everything, path):
    case = API[path]["GET"].Case(query={"limit": 100})
    answer = case.call_and_validate(headers=AS_SERVICE, excluded_checks=BY_CONTRACT)
    rows = answer.json()["data"]
    assert rows
    for row in rows if f"{path}{{id}}/" in openapi.document()["paths"] else ():
        id = row.get("id") or row["account_id"]
        case = API[f"{path}{{id}}/"]["GET"].Case(path_parameters={"id": id})
        assert case.call_and_validate(headers=AS_SERVICE).json() == row


def test_scenario_36_paths_and_names():
    response = ANYBODY.get("/internal/openapi.json")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/vnd.oai.openapi+json"
    document = json.loads(response.content)
    assert document["openapi"] == "3.0.2"
    assert document["info"]["title"] == "Cloudigrade Internal API"
    paths = document["paths"]
    # The reference's, and what came on top (decision 17): a list and its details each.
    assert len(paths) == 44 + ON_TOP
    assert not any("periodictasks" in path or "availability" in path for path in paths)
    assert all(path.startswith("/internal/") for path in paths)
    names = {each["operationId"] for path in paths.values() for each in path.values()}
    models = [
        "Account", "User", "UserTaskLock", "CloudAccount", "Instance", "InstanceEvent",
        "MachineImage", "Run", "MachineImageInspectionStart", "ConcurrentUsage",
        "InstanceDefinition", "SyntheticDataRequest", "AwsCloudAccount", "AwsInstance",
        "AwsMachineImage", "AwsMachineImageCopy", "AwsInstanceEvent", "AzureCloudAccount",
        "AzureInstance", "AzureMachineImage", "AzureInstanceEvent", "SetAsideTask",
    ]  # fmt: skip
    assert names == {
        *(f"list{model}s" for model in models + ADDED),
        *(f"retrieve{model}" for model in models + ADDED),
        *(
            f"{verb}{model}"
            for verb in ("create", "update", "partialUpdate", "destroy")
            for model in ("Account", "User", "SyntheticDataRequest")
        ),
        "destroyUserTaskLock",
        "destroyCloudAccount",
        "listDailyConcurrentUsages",
        "reinspectMachineImage",
        "explainConcurrentUsageOfUser",
        "listBillingFindingsOfUser",
        "listUsageOfUser",
        "retrieveInstanceEventRecord",
        "createExport",
        "retrieveExport",
    }
    components = document["components"]["schemas"]
    assert {"CloudAccount", "DailyConcurrentUsage"} <= set(components)
    assert {f"Internal{model}" for model in models if model != "Account"} <= set(components)


def test_statuses_are_the_real_ones():
    """02 §10: faults of the reference's document that are not repeated."""
    paths = openapi.document()["paths"]
    assert "202" in paths[f"{B}/users/{{id}}/"]["delete"]["responses"]
    assert "202" in paths[f"{B}/accounts/{{id}}/"]["delete"]["responses"]
    assert "200" in paths[f"{B}/machineimages/{{id}}/reinspect/"]["post"]["responses"]
    usage = paths[f"{B}/concurrentusages/"]["get"]["parameters"]
    assert "include_runs" in {parameter["name"] for parameter in usage}


def test_json_may_be_asked_for():
    response = ANYBODY.get("/internal/openapi.json", Accept="application/json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_scenario_34_synthetic_data_is_documented_only_where_it_is_served():
    openapi.document.cache_clear()
    try:
        with override_settings(ENABLE_SYNTHETIC_DATA_REQUEST_HTTP_API=False):
            assert len(openapi.document()["paths"]) == 42 + ON_TOP
    finally:
        openapi.document.cache_clear()


def test_the_kept_copy_is_valid_and_current():
    kept = openapi.document_to_keep()
    validate(kept)
    assert kept["info"]["title"] == "Cloudigrade internal API"
    file = Path(django_settings.BASE_DIR) / "openapi-internal.json"
    assert json.loads(file.read_text(encoding="utf-8")) == kept
