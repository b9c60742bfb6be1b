"""What the resources show (spec 02 §5.2-§5.4)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.internal.callers import ANYBODY, B
from tests.api.internal.environment import SUBSCRIPTION, TIMES, Environment

pytestmark = pytest.mark.django_db


def _pointer(number: int, row: Any, cloud_type: str) -> dict[str, Any]:
    return {"content_type": number, "object_id": row.id, "cloud_type": cloud_type}


def _ami(row: Any, *, platform: str | None, owner: str, is_cloud_access: bool) -> dict[str, Any]:
    return {
        "id": row.id,
        **TIMES,
        "ec2_ami_id": row.cloud_image_id,
        "platform": platform,
        "owner_aws_account_id": owner,
        "region": "us-east-1",
        "aws_marketplace_image": False,
        "is_cloud_access": is_cloud_access,
        "is_marketplace": False,
    }


SHOWN: dict[str, Callable[[Environment], list[dict[str, Any]]]] = {
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
            **_ami(w.ami, platform="none", owner="841258680906", is_cloud_access=True),
            "product_codes": [{"ProductCodeId": "x", "ProductCodeType": "marketplace"}],
            "platform_details": "Linux/UNIX",
            "usage_operation": "RunInstances",
        },
        {
            **_ami(w.copy, platform=None, owner="314159265358", is_cloud_access=False),
            "product_codes": None,
            "platform_details": "Linux/UNIX",
            "usage_operation": "RunInstances",
        },
    ],
    "awsmachineimagecopies": lambda w: [
        {
            **_ami(w.copy, platform=None, owner="314159265358", is_cloud_access=False),
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
    "setasidetasks": lambda w: [
        {
            "id": w.set_aside.id,
            **TIMES,
            "name": "api.tasks.enable_account",
            "task_id": "task-1",
            "arguments": '{"args": [1], "kwargs": {}}',
            "lost_processes": 3,
            "released_at": None,
        }
    ],
    "auditentries": lambda w: [
        {
            "id": w.audit.id,
            **TIMES,
            "actor": "J D",
            "remote_address": "10.0.0.1",
            "request_id": "",
            "action": "recalculate",
            "user_id": w.user.id,
            "target": f"customer {w.user.id}",
            "arguments": {},
            "outcome": "running",
            "detail": "",
            "done": 0,
            "total": 3,
            "cancel_requested_at": None,
            "finished_at": None,
        }
    ],
    "azureinstanceevents": lambda w: [
        {"id": w.azure_event.id, **TIMES, "instance_type": "t3.large"}
    ],
}


@pytest.mark.parametrize("name", SHOWN)
def test_fields(environment, name):
    """02 §5.2: exactly these; a detail is the same as its row in the list."""
    rows = ANYBODY.rows(f"{name}/")
    assert rows == SHOWN[name](environment)
    for row in rows:
        assert ANYBODY.get(f"{B}/{name}/{row['id']}/").json() == row
    for missing in ("987654321", "abc", "1.5", "-1", "99999999999999999999", "%00"):
        response = ANYBODY.get(f"{B}/{name}/{missing}/")
        assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


def test_fields_of_accounts(environment):
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
    assert ANYBODY.get(f"{B}/accounts/{environment.aws.id}/").json() == aws


def test_fields_of_periodic_tasks(environment):
    [row] = ANYBODY.rows("periodictasks/")
    assert list(row) == [
        "id", "name", "task", "args", "kwargs", "queue", "exchange", "routing_key", "headers",
        "priority", "expires", "expire_seconds", "one_off", "start_time", "last_run_at", "enabled",
        "total_run_count", "date_changed", "description", "interval", "crontab", "solar", "clocked",
    ]  # fmt: skip
    assert (row["interval"], row["crontab"]) == (environment.periodic.interval_id, None)
