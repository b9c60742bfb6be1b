"""What the resources show, by what they are filtered, and at which cost (spec 02 §2, §5)."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.models import InspectionAttempt, SyntheticDataRequest
from tests.api.internal.callers import ANYBODY, B
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
    make_usage,
    make_user,
    utc,
)

pytestmark = pytest.mark.django_db

SUBSCRIPTION = uuid.UUID("f0e1d2c3-b4a5-4697-8877-665544332211")
START = utc("2022-06-01T05:06:07")
CREATED = utc("2022-06-01T10:00:00.000001")


class World:
    """One row of everything."""

    def __init__(self) -> None:
        self.user = make_user(account_number="100001", org_id="200002", date_joined=START)
        self.other = make_user(account_number="100002")
        self.aws = make_aws_account(
            user=self.user,
            aws_account_id="000000123456",
            account_arn="arn:aws:iam::000000123456:role/x",
        )
        self.azure = make_azure_account(user=self.other, subscription_id=SUBSCRIPTION)
        self.ami = make_aws_image(
            name="RHEL-8-Access2-GP2",
            owner_aws_account_id="841258680906",
            product_codes=[{"ProductCodeId": "x", "ProductCodeType": "marketplace"}],
        )
        self.copy = make_aws_image(name=None, reference_image=self.ami, platform=None)
        self.azure_image = make_azure_image(user=self.other, marketplace=True)
        self.instance = make_instance(account=self.aws, image=self.ami)
        self.machine = make_instance(account=self.azure, image=None)
        self.event = make_event(instance=self.instance, occurred_at=START, subnet="subnet-1")
        self.azure_event = make_event(instance=self.machine, event_type="power_off")
        self.run = make_run(instance=self.instance, start=START)
        self.usage = make_usage(user=self.user, date=START.date())
        self.definition = make_definition(vcpu="0.75", json_definition='{"a": 1}')
        self.attempt = InspectionAttempt.objects.create(machine_image=self.ami)
        self.request = SyntheticDataRequest.objects.create(cloud_type="aws")
        every = IntervalSchedule.objects.create(every=5, period="minutes")
        self.periodic = PeriodicTask.objects.create(name="x", task="y", interval=every)


@pytest.fixture
def world(db, time_machine) -> World:
    time_machine.move_to(CREATED, tick=False)
    return World()


TIMES = {"created_at": "2022-06-01T10:00:00.000001Z", "updated_at": "2022-06-01T10:00:00.000001Z"}


def _pointer(number: int, row: Any, cloud_type: str) -> dict[str, Any]:
    return {"content_type": number, "object_id": row.id, "cloud_type": cloud_type}


SHOWN: dict[str, Callable[[World], list[dict[str, Any]]]] = {
    "usertasklocks": lambda w: [
        {"id": user.task_lock.id, **TIMES, "locked": False, "user": user.id}
        for user in (w.user, w.other)
    ],
    "cloudaccounts": lambda w: [
        {
            "id": account.id,
            **TIMES,
            "user": account.user_id,
            "is_enabled": True,
            "enabled_at": "2022-06-01T10:00:00.000001Z",
            "is_synthetic": False,
            "platform_authentication_id": account.platform_authentication_id,
            "platform_application_id": account.platform_application_id,
            "platform_source_id": account.platform_source_id,
            "platform_application_is_paused": False,
            **_pointer(number, account, account.cloud_type),
        }
        for account, number in ((w.aws, 11), (w.azure, 12))
    ],
    "instances": lambda w: [
        {
            "id": w.instance.id,
            **TIMES,
            "cloud_account": w.aws.id,
            "machine_image": w.ami.id,
            **_pointer(21, w.instance, "aws"),
        },
        {
            "id": w.machine.id,
            **TIMES,
            "cloud_account": w.azure.id,
            "machine_image": None,
            **_pointer(22, w.machine, "azure"),
        },
    ],
    "instanceevents": lambda w: [
        {
            "id": w.event.id,
            **TIMES,
            "instance": w.instance.id,
            "event_type": "power_on",
            "occurred_at": "2022-06-01T05:06:07Z",
            **_pointer(41, w.event, "aws"),
        },
        {
            "id": w.azure_event.id,
            **TIMES,
            "instance": w.machine.id,
            "event_type": "power_off",
            "occurred_at": "2022-06-01T10:00:00.000001Z",
            **_pointer(42, w.azure_event, "azure"),
        },
    ],
    "machineimages": lambda w: [
        {
            "id": image.id,
            **TIMES,
            "status": "inspected",
            "inspection_json": None,
            "is_encrypted": False,
            "rhel_detected_by_tag": False,
            "openshift_detected": False,
            "name": image.name,
            "architecture": image.architecture,
            **_pointer(number, image, image.cloud_type),
        }
        for image, number in ((w.ami, 31), (w.copy, 31), (w.azure_image, 32))
    ],
    "runs": lambda w: [
        {
            "id": w.run.id,
            **TIMES,
            "start_time": "2022-06-01T05:06:07Z",
            "end_time": None,
            "instance_type": "t3.large",
            "memory": 8192.0,
            "vcpu": 2,
            "machineimage": w.ami.id,
            "instance": w.instance.id,
        }
    ],
    "machineimageinspectionstarts": lambda w: [
        {"id": w.attempt.id, **TIMES, "machineimage": w.ami.id}
    ],
    "concurrentusages": lambda w: [
        {
            "id": w.usage.id,
            **TIMES,
            "date": "2022-06-01",
            "user": w.user.id,
            "maximum_counts": [],
        }
    ],
    "instancedefinitions": lambda w: [
        {
            "id": w.definition.id,
            **TIMES,
            "instance_type": w.definition.instance_type,
            "memory_mib": 8192,
            "vcpu": "0.75",
            "json_definition": '{"a": 1}',
            "cloud_type": "aws",
        }
    ],
    "awscloudaccounts": lambda w: [
        {
            "id": w.aws.id,
            **TIMES,
            "aws_account_id": "000000123456",
            "account_arn": "arn:aws:iam::000000123456:role/x",
        }
    ],
    "awsinstances": lambda w: [
        {
            "id": w.instance.id,
            **TIMES,
            "ec2_instance_id": w.instance.cloud_instance_id,
            "region": "us-east-1",
        }
    ],
    "awsmachineimages": lambda w: [
        {
            "id": w.ami.id,
            **TIMES,
            "ec2_ami_id": w.ami.cloud_image_id,
            "platform": "none",
            "owner_aws_account_id": "841258680906",
            "region": "us-east-1",
            "aws_marketplace_image": False,
            "is_cloud_access": True,
            "is_marketplace": False,
            "product_codes": [{"ProductCodeId": "x", "ProductCodeType": "marketplace"}],
            "platform_details": "Linux/UNIX",
            "usage_operation": "RunInstances",
        },
        {
            "id": w.copy.id,
            **TIMES,
            "ec2_ami_id": w.copy.cloud_image_id,
            "platform": None,
            "owner_aws_account_id": "314159265358",
            "region": "us-east-1",
            "aws_marketplace_image": False,
            "is_cloud_access": False,
            "is_marketplace": False,
            "product_codes": None,
            "platform_details": "Linux/UNIX",
            "usage_operation": "RunInstances",
        },
    ],
    "awsmachineimagecopies": lambda w: [
        {
            "id": w.copy.id,
            **TIMES,
            "ec2_ami_id": w.copy.cloud_image_id,
            "platform": None,
            "owner_aws_account_id": "314159265358",
            "region": "us-east-1",
            "aws_marketplace_image": False,
            "is_cloud_access": False,
            "is_marketplace": False,
            "reference_awsmachineimage_id": w.ami.id,
        }
    ],
    "awsinstanceevents": lambda w: [
        {"id": w.event.id, **TIMES, "subnet": "subnet-1", "instance_type": "t3.large"}
    ],
    "azurecloudaccounts": lambda w: [
        {"id": w.azure.id, **TIMES, "subscription_id": str(SUBSCRIPTION)}
    ],
    "azureinstances": lambda w: [
        {
            "id": w.machine.id,
            **TIMES,
            "resource_id": w.machine.cloud_instance_id,
            "region": "eastus",
        }
    ],
    "azuremachineimages": lambda w: [
        {
            "id": w.azure_image.id,
            **TIMES,
            "resource_id": w.azure_image.cloud_image_id,
            "region": "eastus",
            "azure_marketplace_image": True,
            "is_cloud_access": False,
            "is_marketplace": True,
        }
    ],
    "azureinstanceevents": lambda w: [
        {"id": w.azure_event.id, **TIMES, "instance_type": "t3.large"}
    ],
}


@pytest.mark.parametrize("name", SHOWN)
def test_fields(world, name):
    """02 §5.2: exactly these; a detail is the same as its row in the list."""
    rows = ANYBODY.rows(f"{name}/")
    assert rows == SHOWN[name](world)
    for row in rows:
        assert ANYBODY.get(f"{B}/{name}/{row['id']}/").json() == row
    for missing in ("987654321", "abc", "1.5", "-1", "99999999999999999999", "%00"):
        response = ANYBODY.get(f"{B}/{name}/{missing}/")
        assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


def test_fields_of_accounts(world):
    """02 §5.4."""
    aws, azure = ANYBODY.rows("accounts/")
    assert aws["content_object"]["aws_account_id"] == "000000123456"
    assert azure["content_object"]["subscription_id"] == str(SUBSCRIPTION)
    assert set(aws) == {
        "account_id",
        "created_at",
        "updated_at",
        "user_id",
        "cloud_type",
        "is_enabled",
        "platform_authentication_id",
        "platform_application_id",
        "platform_source_id",
        "platform_application_is_paused",
        "content_object",
    }
    assert ANYBODY.get(f"{B}/accounts/{world.aws.id}/").json() == aws


def test_fields_of_periodic_tasks(world):
    [row] = ANYBODY.rows("periodictasks/")
    assert list(row) == [
        "id", "name", "task", "args", "kwargs", "queue", "exchange", "routing_key", "headers",
        "priority", "expires", "expire_seconds", "one_off", "start_time", "last_run_at", "enabled",
        "total_run_count", "date_changed", "description", "interval", "crontab", "solar", "clocked",
    ]  # fmt: skip
    assert (row["interval"], row["crontab"]) == (world.periodic.interval_id, None)


AFTER, BEFORE = "2022-06-01T09:59:00Z", "2022-06-01T10:01:00Z"
FILTERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # For each resource: what its first row of ``World`` matches, and what no row does.
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
            "object_id": "99999999999999999999",
            "platform_source_id": "1.5",
            "platform_application_id": "1e999999999",
            "platform_authentication_id": "-1e999999999",
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
    "azureinstanceevents": ({"instance_type": "t3.large"}, {"instance_type": "x"}),
}
WITH_TIMES = set(FILTERS) - {"users"}


def _cases(place: int) -> list:
    return [
        pytest.param(resource, name, value, id=f"{resource} {name}")
        for resource, matches in FILTERS.items()
        for name, value in matches[place].items()
    ]


def _value(world: World, value: Any) -> Any:
    return value(world) if callable(value) else value


@pytest.mark.parametrize(("resource", "name", "value"), _cases(0))
def test_filters_that_match(world, resource, name, value):
    """02 §5.1, §2.3: lists and details."""
    everything = ANYBODY.rows(f"{resource}/")
    query = f"{name}={_value(world, value)}&"
    first = ANYBODY.rows(f"{resource}/?{query}")[0]
    assert first == everything[0]
    assert ANYBODY.get(f"{B}/{resource}/{first['id']}/?{query}").status_code == 200


@pytest.mark.parametrize(("resource", "name", "value"), _cases(1))
def test_filters_that_do_not(world, resource, name, value):
    query = f"{name}={_value(world, value)}"
    assert ANYBODY.rows(f"{resource}/?{query}") == []
    first = ANYBODY.rows(f"{resource}/")[0]
    assert ANYBODY.get(f"{B}/{resource}/{first['id']}/?{query}").status_code == 404


@pytest.mark.parametrize("resource", sorted(WITH_TIMES))
@pytest.mark.parametrize("column", ["created_at", "updated_at"])
def test_filters_by_age(world, resource, column):
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
def test_values_that_are_none(world, path, text):
    """02 §2.3."""
    response = ANYBODY.get(f"{B}/{path}")
    name = path.partition("?")[2].partition("=")[0]
    assert (response.status_code, response.json()) == (400, {name: [text]})


def test_filters_are_combined_and_the_last_value_wins(world):
    accounts = "cloudaccounts/?"
    assert ANYBODY.rows(f"{accounts}account_number=100001&org_id=x") == []
    assert len(ANYBODY.rows(f"{accounts}account_number=x&account_number=100001")) == 1
    assert len(ANYBODY.rows(f"{accounts}account_number=&org_id=&is_enabled=&nonsense=1")) == 2
    both = ANYBODY.get(f"{B}/runs/?memory=x&start_time=x").json()
    assert set(both) == {"memory", "start_time"}


def test_ids_of_instances_compare_in_any_case(world):
    for name, instance in (
        ("awsinstances/?ec2_instance_id", world.instance),
        ("azureinstances/?resource_id", world.machine),
    ):
        [row] = ANYBODY.rows(f"{name}={instance.cloud_instance_id.upper()}")
        assert row["id"] == instance.id


def test_both_offsets_of_the_same_moment_match(world):
    """02 §2.3: a ``+`` is sent as %2B."""
    assert len(ANYBODY.rows("runs/?start_time=2022-06-01T07:06:07%2B02:00")) == 1


# Order and pages


def _many(world: World, count: int) -> None:
    for number in range(count):
        user = make_user()
        aws = make_aws_account(user=user)
        azure = make_azure_account(user=user)
        image = make_rhel_image(reference_image=world.ami)
        azure_image = make_azure_image(user=user)
        for account, used in ((aws, image), (azure, azure_image)):
            instance = make_instance(account=account, image=used)
            make_event(instance=instance)
            make_run(instance=instance, start=START)
        make_usage(user=user, date=START.date())
        make_definition()
        InspectionAttempt.objects.create(machine_image=image)
        request = SyntheticDataRequest.objects.create(cloud_type="aws", user=user)
        request.machine_images.add(image)
        PeriodicTask.objects.create(
            name=f"x{number}", task="y", interval_id=world.periodic.interval_id
        )


STATEMENTS = {"syntheticdatarequests": 3}


def test_lists_cost_the_same_however_long_they_are(world, django_assert_num_queries):
    """02 §12.9: as many statements for 100 rows as for 10."""
    _many(world, 110)
    for name in ("users", "accounts", "periodictasks", *SHOWN, "syntheticdatarequests"):
        for limit in (10, 100):
            with django_assert_num_queries(STATEMENTS.get(name, 2)):
                assert len(ANYBODY.rows(f"{name}/?limit={limit}")) == limit, name
    with django_assert_num_queries(2):
        ANYBODY.rows("concurrentusages/?limit=100&include_runs=1")
    with django_assert_num_queries(1):
        ANYBODY.get(f"{B}/problematic_runs/")


def test_rows_come_by_age_then_id(world, time_machine):
    """02 §2.2."""
    time_machine.move_to(CREATED - timedelta(days=1), tick=False)
    oldest = [make_instance(account=world.aws).id for _ in range(3)]
    ids = [row["id"] for row in ANYBODY.rows("instances/")]
    assert ids == [*oldest, world.instance.id, world.machine.id]


def test_links_of_pages(world):
    """02 §2.1."""
    for _ in range(8):
        make_user()
    url = f"{B}/users/?"
    page = ANYBODY.get(f"{url}limit=7&x=b&x=a&account_number=").json()
    assert page["meta"] == {"count": 10}
    assert page["links"] == {
        "first": f"{url}account_number=&limit=7&offset=0&x=b&x=a",
        "next": f"{url}account_number=&limit=7&offset=7&x=b&x=a",
        "previous": None,
        "last": f"{url}account_number=&limit=7&offset=3&x=b&x=a",
    }
    assert ANYBODY.get(f"{url}limit=7&offset=7").json()["links"]["previous"] == f"{url}limit=7"
    beyond = ANYBODY.get(f"{url}offset=1000").json()
    assert (beyond["data"], beyond["links"]["previous"]) == ([], f"{url}limit=10&offset=990")
    for limit in ("0", "-1", "x", ""):
        assert "limit=10&offset=0" in ANYBODY.get(f"{url}limit={limit}").json()["links"]["first"]
    assert "limit=100&" in ANYBODY.get(f"{url}limit=101").json()["links"]["first"]
    assert len(ANYBODY.rows("users/?offset=-5")) == 10


def test_json_may_be_asked_for(world):
    """02 §2."""
    rows = ANYBODY.rows("runs/")
    assert ANYBODY.get(f"{B}/runs.json").json()["data"] == rows
    assert ANYBODY.get(f"{B}/runs/?format=json").json()["data"] == rows
    assert ANYBODY.get(f"{B}/runs/{world.run.id}.json").json() == rows[0]
    assert ANYBODY.get(f"{B}/runs/?format=xml").status_code == 404
