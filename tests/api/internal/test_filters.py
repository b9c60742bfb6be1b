"""By what the resources are filtered (spec 02 §2.3, §5.1)."""

import uuid
from typing import Any

import pytest

from tests.api.internal.callers import ANYBODY, B
from tests.api.internal.environment import SUBSCRIPTION, TIMES, Environment

pytestmark = pytest.mark.django_db

AFTER, BEFORE = "2022-06-01T09:59:00Z", "2022-06-01T10:01:00Z"
FILTERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # For each resource: what its first row of ``Environment`` matches, and what no row does.
    "users": (
        {
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
            "uuid": lambda w: w.user.uuid,
            "date_joined": "2022-06-01T05:06:07Z",
            "date_joined__gt": "2022-06-01",
            "date_joined__lt": "2022-06-02T00:00:00",
        },
        {"account_number": "x", "org_id": "x", "username": "x", "uuid": "x"},
    ),
    "usertasklocks": ({"user": lambda w: w.user.id, "locked": "False"}, {"locked": "1"}),
    "cloudaccounts": (
        {
            "is_enabled": "TRUE",
            "is_synthetic": "0",
            "platform_application_is_paused": "false",
            "object_id": lambda w: w.aws.id,
            "platform_application_id": lambda w: w.aws.platform_application_id,
            "platform_authentication_id": lambda w: w.aws.platform_authentication_id,
            "platform_source_id": lambda w: w.aws.platform_source_id,
            "user": lambda w: w.user.id,
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
        },
        {
            "is_enabled": "0",
            "object_id": "9223372036854775807",
            "platform_source_id": "1.5",
            "platform_application_id": "-9223372036854775808",
        },
    ),
    "instances": (
        {
            "cloud_account": lambda w: w.aws.id,
            "machine_image": lambda w: w.ami.id,
            "object_id": lambda w: w.instance.id,
            "running_since": "2022-06-01T05:06:07",
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
        },
        {"running_since": "2022-06-01T05:06:06", "org_id": "x", "object_id": "0"},
    ),
    "instanceevents": (
        {
            "event_type": "power_on",
            "instance": lambda w: w.instance.id,
            "cloud_account": lambda w: w.aws.id,
            "object_id": lambda w: w.event.id,
            "occurred_at": "2022-06-01T07:06:07%2B02:00",
            "occurred_at__lt": "2022-06-01T05:06:08",
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
        },
        {
            "event_type": "attribute_change",
            "cloud_account": "987654321",
            "occurred_at__gt": "2022-06-02",
        },
    ),
    "machineimages": (
        {
            "architecture": "x86_64",
            "name": "RHEL-8-Access2-GP2",
            "status": "inspected",
            "object_id": lambda w: w.ami.id,
            "owner_aws_account_id": "841258680906",
        },
        {"architecture": "x", "name": "x", "status": "error", "object_id": "0"},
    ),
    "runs": (
        {
            "instance": lambda w: w.instance.id,
            "machineimage": lambda w: w.ami.id,
            "cloud_account": lambda w: w.aws.id,
            "instance_type": "t3.large",
            "memory": "8192.0",
            "vcpu": "2",
            "start_time": "2022-06-01T05:06:07Z",
            "start_time__gt": "2022-06-01",
            "start_time__lt": "2022-06-02",
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
        },
        {
            "end_time": "2022-06-01",
            "end_time__lt": "9999-12-31",
            "end_time__gt": "0001-01-01",
            "memory": "8192.5",
            "vcpu": "2.5",
            "cloud_account": "0",
        },
    ),
    "machineimageinspectionstarts": ({"machineimage": lambda w: w.ami.id}, {}),
    "concurrentusages": (
        {
            "date": "2022-06-01",
            "date__lt": "2022-06-02",
            "date__gt": "2022-05-31",
            "run": lambda w: w.run.id,
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
            "user": "987654321",
        },
        {"date": "2022-06-02", "date__lt": "2022-06-01", "date__gt": "2022-06-01", "run": "0"},
    ),
    "instancedefinitions": (
        {
            "cloud_type": "aws",
            "instance_type": lambda w: w.definition.instance_type,
            "memory_mib": "8192",
            "vcpu": "0.75",
        },
        {"cloud_type": "azure", "instance_type": "x", "memory_mib": "1", "vcpu": "1"},
    ),
    "syntheticdatarequests": (
        {"expires_at__gt": "2022-06-01", "expires_at__lt": "2022-06-03"},
        {"expires_at": "2022-06-01"},
    ),
    "awscloudaccounts": (
        {
            "aws_account_id": "123456",
            "account_arn": "arn:aws:iam::000000123456:role/x",
            "account_number": "100001",
            "org_id": "200002",
            "username": "100001",
        },
        {"aws_account_id": "-123456", "account_arn": "x", "username": "100002"},
    ),
    "awsinstances": (
        {"ec2_instance_id": lambda w: w.instance.cloud_instance_id, "region": "us-east-1"},
        {"ec2_instance_id": "x", "region": "eastus"},
    ),
    "awsmachineimages": (
        {
            "ec2_ami_id": lambda w: w.ami.cloud_image_id,
            "platform": "none",
            "owner_aws_account_id": "841258680906",
            "region": "us-east-1",
            "aws_marketplace_image": "false",
        },
        {"ec2_ami_id": "x", "platform": "windows", "owner_aws_account_id": "1"},
    ),
    "awsmachineimagecopies": (
        {
            "ec2_ami_id": lambda w: w.copy.cloud_image_id,
            "owner_aws_account_id": "314159265358",
            "reference_awsmachineimage": lambda w: w.ami.id,
        },
        {"reference_awsmachineimage": lambda w: w.copy.id, "aws_marketplace_image": "1"},
    ),
    "awsinstanceevents": (
        {"subnet": "subnet-1", "instance_type": "t3.large"},
        {"subnet": "x", "instance_type": "x"},
    ),
    "azurecloudaccounts": (
        {"subscription_id": str(SUBSCRIPTION).upper(), "account_number": "100002"},
        {"subscription_id": str(uuid.uuid4()), "org_id": "200002"},
    ),
    "azureinstances": (
        {"resource_id": lambda w: w.machine.cloud_instance_id, "region": "eastus"},
        {"resource_id": "x", "region": "x"},
    ),
    "azuremachineimages": (
        {"resource_id": lambda w: w.azure_image.cloud_image_id, "azure_marketplace_image": "1"},
        {"resource_id": "x", "azure_marketplace_image": "0"},
    ),
    "setasidetasks": (
        {"name": "api.tasks.enable_account", "task_id": "task-1", "is_released": "false"},
        {"name": "x", "task_id": "x", "is_released": "true", "released_at__gt": "2022-06-01"},
    ),
    "auditentries": (
        {
            "action": "recalculate",
            "outcome": "running",
            "actor": "J D",
            "user_id": lambda w: w.user.id,
            "is_finished": "false",
        },
        {
            "action": "replay",
            "outcome": "done",
            "actor": "x",
            "user_id": "0",
            "is_finished": "true",
            "finished_at__gt": "2022-06-01",
        },
    ),
    "azureinstanceevents": ({"instance_type": "t3.large"}, {"instance_type": "x"}),
}
WITH_TIMES = set(FILTERS) - {"users"}


def _cases(place: int) -> list:
    return [
        pytest.param(resource, name, value, id=f"{resource} {name}")
        for resource, matches in FILTERS.items()
        for name, value in matches[place].items()
    ]


def _value(environment: Environment, value: Any) -> Any:
    return value(environment) if callable(value) else value


@pytest.mark.parametrize(("resource", "name", "value"), _cases(0))
def test_filters_that_match(environment, resource, name, value):
    """02 §5.1, §2.3: lists and details."""
    everything = ANYBODY.rows(f"{resource}/")
    query = f"{name}={_value(environment, value)}&"
    first = ANYBODY.rows(f"{resource}/?{query}")[0]
    assert first == everything[0]
    assert ANYBODY.get(f"{B}/{resource}/{first['id']}/?{query}").status_code == 200


@pytest.mark.parametrize(("resource", "name", "value"), _cases(1))
def test_filters_that_do_not(environment, resource, name, value):
    query = f"{name}={_value(environment, value)}"
    assert ANYBODY.rows(f"{resource}/?{query}") == []
    first = ANYBODY.rows(f"{resource}/")[0]
    assert ANYBODY.get(f"{B}/{resource}/{first['id']}/?{query}").status_code == 404


@pytest.mark.parametrize("resource", sorted(WITH_TIMES))
@pytest.mark.parametrize("column", ["created_at", "updated_at"])
def test_filters_by_age(environment, resource, column):
    assert ANYBODY.rows(f"{resource}/?{column}={TIMES[column]}")
    assert ANYBODY.rows(f"{resource}/?{column}__gt={AFTER}&{column}__lt={BEFORE}")
    for query in (
        f"{column}=2022-06-01T10:00:00Z",
        f"{column}__gt={TIMES[column]}",
        f"{column}__lt={TIMES[column]}",
        f"{column}__gt=2022-06-02",
    ):
        assert ANYBODY.rows(f"{resource}/?{query}") == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("runs/?start_time=potato", "Enter a valid date/time."),
        ("instances/?running_since=2022-13-01", "Enter a valid date/time."),
        ("users/?date_joined__lt=x", "Enter a valid date/time."),
        ("concurrentusages/?date=2022-02-30", "Enter a valid date."),
        ("concurrentusages/?date__gt=June 9 2022", "Enter a valid date."),
        (
            "runs/?instance=987654321",
            "Select a valid choice. That choice is not one of the available choices.",
        ),
        (
            "usertasklocks/?user=potato",
            "Select a valid choice. That choice is not one of the available choices.",
        ),
        (
            "instanceevents/?event_type=potato",
            "Select a valid choice. potato is not one of the available choices.",
        ),
        (
            "machineimages/?status=Pending",
            "Select a valid choice. Pending is not one of the available choices.",
        ),
        ("runs/?memory=potato", "Enter a number."),
        ("runs/?vcpu=NaN", "Enter a number."),
        ("runs/?cloud_account=Infinity", "Enter a number."),
        ("awscloudaccounts/?aws_account_id=x", "Enter a number."),
        ("azurecloudaccounts/?subscription_id=x", "Enter a valid UUID."),
    ],
)
def test_values_that_are_none(environment, path, text):
    """02 §2.3."""
    response = ANYBODY.get(f"{B}/{path}")
    name = path.partition("?")[2].partition("=")[0]
    assert (response.status_code, response.json()) == (400, {name: [text]})


LARGEST = "Ensure this value is less than or equal to {}."
SMALLEST = "Ensure this value is greater than or equal to {}."


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cloudaccounts/?object_id=99999999999999999999", LARGEST.format(2**63 - 1)),
        ("cloudaccounts/?platform_source_id=9223372036854775808", LARGEST.format(2**63 - 1)),
        ("cloudaccounts/?platform_application_id=1e999999999", LARGEST.format(2**63 - 1)),
        ("cloudaccounts/?platform_authentication_id=-1e999999", SMALLEST.format(-(2**63))),
        ("runs/?vcpu=2147483648", LARGEST.format(2**31 - 1)),
        ("runs/?cloud_account=" + "9" * 5000, LARGEST.format(2**63 - 1)),
    ],
)
def test_numbers_that_no_row_can_have(environment, path, text):
    """Decision 50."""
    response = ANYBODY.get(f"{B}/{path}")
    name = path.partition("?")[2].partition("=")[0]
    assert (response.status_code, response.json()) == (400, {name: [text]})


def test_filters_are_combined_and_the_last_value_wins(environment):
    accounts = "cloudaccounts/?"
    assert ANYBODY.rows(f"{accounts}account_number=100001&org_id=x") == []
    assert len(ANYBODY.rows(f"{accounts}account_number=x&account_number=100001")) == 1
    assert len(ANYBODY.rows(f"{accounts}account_number=&org_id=&is_enabled=&nonsense=1")) == 2
    both = ANYBODY.get(f"{B}/runs/?memory=x&start_time=x").json()
    assert set(both) == {"memory", "start_time"}


def test_ids_of_instances_compare_in_any_case(environment):
    for name, instance in (
        ("awsinstances/?ec2_instance_id", environment.instance),
        ("azureinstances/?resource_id", environment.machine),
    ):
        [row] = ANYBODY.rows(f"{name}={instance.cloud_instance_id.upper()}")
        assert row["id"] == instance.id


def test_both_offsets_of_the_same_moment_match(environment):
    """02 §2.3: a ``+`` is sent as %2B."""
    assert len(ANYBODY.rows("runs/?start_time=2022-06-01T07:06:07%2B02:00")) == 1
