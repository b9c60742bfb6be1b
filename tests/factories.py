"""Rows for tests: plain functions that make one thing each, with defaults for what does not matter.

Every function takes the columns to set as keywords and returns the stored row. Numbers in default
names count up, so that rows made with defaults never collide.
"""

import datetime
import itertools
import json
import uuid
from collections.abc import Iterable
from typing import Any

from api.images import facts
from api.metering.count_text import shown_counts
from api.models import (
    CloudAccount,
    CloudType,
    ConcurrentUsage,
    ImageTags,
    Instance,
    InstanceDefinition,
    InstanceEvent,
    MachineImage,
    Run,
    StaleUsage,
    User,
)
from util import clock

RHEL_RESULT = {"rhel_release_files_found": True}

_numbers = itertools.count(1)


def number() -> int:
    """Return a number that this process has not given before."""
    return next(_numbers)


def utc(text: str) -> datetime.datetime:
    """Read an ISO date or date-time; what names no offset is UTC."""
    moment = datetime.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def make_user(**columns) -> User:
    """Make a customer with its task lock, by default with account number and org id."""
    if not columns.keys() & {"account_number", "org_id"}:
        columns |= {
            "account_number": f"{1_000_000 + number()}",
            "org_id": f"{5_000_000 + number()}",
        }
    columns.setdefault("date_joined", utc("2019-01-01T15:30:00"))
    return User.objects.create_user(**columns)


def platform_ids() -> dict[str, int]:
    """Return ids of the sources service that no other account has."""
    return {
        "platform_authentication_id": number(),
        "platform_application_id": number(),
        "platform_source_id": number(),
    }


def make_aws_account(*, user: User | None = None, **columns) -> CloudAccount:
    """Make an enabled AWS account; by default its ARN fits its ``aws_account_id``."""
    columns.setdefault("aws_account_id", f"{100_000_000_000 + number()}")
    columns.setdefault("account_arn", f"arn:aws:iam::{columns['aws_account_id']}:role/metering")
    return _make_account(user, CloudType.AWS, columns)


def make_azure_account(*, user: User | None = None, **columns) -> CloudAccount:
    """Make an enabled Azure account with a random subscription."""
    columns.setdefault("subscription_id", uuid.uuid4())
    return _make_account(user, CloudType.AZURE, columns)


def _make_account(user: User | None, cloud_type: Any, columns: dict) -> CloudAccount:
    defaults = {"is_enabled": True, "enabled_at": clock.now(), **platform_ids()}
    return CloudAccount.objects.create(
        user=user or make_user(), cloud_type=cloud_type, **(defaults | columns)
    )


def make_account(
    *, user: User | None = None, cloud_type: Any = CloudType.AWS, **columns
) -> CloudAccount:
    """Make an enabled account of either cloud."""
    maker = make_aws_account if cloud_type == CloudType.AWS else make_azure_account
    return maker(user=user, **columns)


def make_aws_image(**columns) -> MachineImage:
    """Make an AMI with derived columns that follow from the given ones; by default not RHEL."""
    defaults = {
        "cloud_type": CloudType.AWS,
        "cloud_image_id": f"ami-{number():017x}",
        "name": "some image",
        "architecture": "x86_64",
        "status": MachineImage.Status.INSPECTED,
        "region": "us-east-1",
        "owner_aws_account_id": "314159265358",
        "platform": MachineImage.Platform.NONE,
        "platform_details": "Linux/UNIX",
        "usage_operation": "RunInstances",
    }
    return _store_image(defaults | columns)


def make_azure_image(*, user: User, **columns) -> MachineImage:
    """Make an image as used by one Azure customer; by default not RHEL."""
    defaults = {
        "cloud_type": CloudType.AZURE,
        "cloud_image_id": f"sku-{number()}",
        "publisher": "canonical",
        "offer": "server",
        "name": "some image",
        "architecture": "x64",
        "status": MachineImage.Status.INSPECTED,
        "region": "eastus",
    }
    return _store_image(defaults | {"user": user} | columns)


def _store_image(columns: dict) -> MachineImage:
    image = facts.apply(MachineImage(**columns))
    image.save()
    return image


def make_rhel_image(**columns) -> MachineImage:
    """Make an AMI that counts as RHEL for whoever uses it, by its inspection."""
    return make_aws_image(**({"inspection_json": json.dumps(RHEL_RESULT)} | columns))


def set_rhel(image: MachineImage, is_rhel: bool) -> None:
    """Let an inspection say of an AMI whether it is RHEL; to be used within ``change_images``."""
    result = json.loads(image.inspection_json or "{}")
    image.inspection_json = json.dumps({**result, "rhel_release_files_found": is_rhel})


def make_tags(
    *, account: CloudAccount, image: MachineImage, rhel: bool = True, **columns
) -> ImageTags:
    """Put tags on an AMI in an account, by default the RHEL tag, without any consequence."""
    tags = ImageTags.objects.create(
        cloud_account=account, machine_image=image, rhel=rhel, **columns
    )
    image.rhel_detected_by_tag |= tags.rhel
    image.openshift_detected |= tags.openshift
    facts.apply(image).save()
    return tags


def make_image(*, account: CloudAccount | None = None, **columns) -> MachineImage:
    """Make an image that instances of the account can use; without an account it is an AMI."""
    if account is not None and account.cloud_type == CloudType.AZURE:
        return make_azure_image(user=account.user, **columns)
    return make_aws_image(**columns)


def make_instance(
    *, account: CloudAccount | None = None, image: MachineImage | None = None, **columns
) -> Instance:
    """Make an instance, by default of an image that is not known yet."""
    account = account or make_aws_account()
    if account.cloud_type == CloudType.AWS:
        defaults = {"cloud_instance_id": f"i-{number():017x}", "region": "us-east-1"}
    else:
        defaults = {
            "cloud_instance_id": f"/subscriptions/{account.subscription_id}/resourceGroups/test"
            f"/providers/Microsoft.Compute/virtualMachines/vm{number()}",
            "region": "eastus",
        }
    return Instance.objects.create(
        cloud_account=account,
        machine_image=image,
        cloud_type=account.cloud_type,
        **(defaults | columns),
    )


def make_event(*, instance: Instance, **columns) -> InstanceEvent:
    """Make an event of an instance, by default that it was switched on just now."""
    defaults = {
        "event_type": InstanceEvent.Type.POWER_ON,
        "occurred_at": clock.now(),
        "instance_type": "t3.large",
        "origin": InstanceEvent.Origin.CLOUDTRAIL,
    }
    return InstanceEvent.objects.create(
        instance=instance, cloud_account_id=instance.cloud_account_id, **(defaults | columns)
    )


def make_run(
    *,
    instance: Instance,
    start: datetime.datetime,
    end: datetime.datetime | None = None,
    **columns,
) -> Run:
    """Make a run with the instance's image; without an end it goes on."""
    defaults = {
        "machine_image_id": instance.machine_image_id,
        "instance_type": "t3.large",
        "vcpu": 2,
        "memory": 8192.0,
    }
    return Run.objects.create(
        instance=instance,
        cloud_account_id=instance.cloud_account_id,
        start_time=start,
        end_time=end,
        **(defaults | columns),
    )


def make_usage(
    *, user: User, date: datetime.date, counts: Iterable[Iterable] = (), **columns
) -> ConcurrentUsage:
    """Make a day's stored result; counts are ``[arch, role, sla, usage, service_type, count]``."""
    return ConcurrentUsage.objects.create(
        user=user,
        date=date,
        maximum_counts=[list(count) for count in counts],
        **({"algorithm": "test"} | columns),
    )


def make_usage_between(
    *,
    user: User,
    first_day: datetime.date,
    last_day: datetime.date,
    counts: Iterable[Iterable] = (),
) -> list[ConcurrentUsage]:
    """Make the same stored result for each day from the first to the last, both included."""
    rows = [list(count) for count in counts]
    shown = shown_counts(json.dumps(rows, ensure_ascii=False))
    return ConcurrentUsage.objects.bulk_create(
        ConcurrentUsage(
            user=user,
            date=first_day + datetime.timedelta(days=day),
            maximum_counts=rows,
            shown_counts=shown,
            shown_revision=1,
            algorithm="test",
        )
        for day in range((last_day - first_day).days + 1)
    )


def make_stale(
    *, user: User, first_day: datetime.date, last_day: datetime.date | None = None, **columns
) -> StaleUsage:
    """Mark days as to be calculated again; without a last day all from the first on."""
    return StaleUsage.objects.create(
        user=user, first_day=first_day, last_day=last_day, **({"cause": "run_changed"} | columns)
    )


def make_definition(**columns) -> InstanceDefinition:
    """Make the size of an instance type, by default of a large AWS one."""
    defaults = {
        "cloud_type": CloudType.AWS,
        "instance_type": f"t{number()}.large",
        "memory_mib": 8192,
        "vcpu": 2,
        "json_definition": {},
    }
    return InstanceDefinition.objects.create(**(defaults | columns))
