"""What the internal API shows, and by what it can be filtered (spec 02 §5.1, §5.2).

The records of one cloud are views onto the tables of all clouds and share their ids. Columns that
spec 09 added are not shown.
"""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django_celery_beat.models import PeriodicTask
from rest_framework import serializers
from rest_framework.serializers import Field

from api.internal import fields, filters
from api.internal.browse import BrowsableResource
from api.internal.fields import RecordKind
from api.models import (
    AuditEntry,
    CloudAccount,
    CloudType,
    InspectionAttempt,
    Instance,
    InstanceDefinition,
    InstanceEvent,
    MachineImage,
    Run,
    SetAsideTask,
    User,
    UserTaskLock,
)


def _all(model: Any) -> QuerySet:
    return model.objects.all()


def _accounts() -> QuerySet:
    return _all(CloudAccount)


def _images() -> QuerySet:
    return _all(MachineImage)


def _instances() -> QuerySet:
    return _all(Instance)


def _users() -> QuerySet:
    return _all(User)


def _instance_events() -> QuerySet:
    cloud_type = CloudAccount.objects.filter(id=OuterRef("cloud_account_id")).values("cloud_type")
    return InstanceEvent.objects.annotate(cloud_type=Subquery(cloud_type[:1]))


def _of_cloud(model: Any, cloud_type: Any) -> QuerySet:
    return model.objects.filter(cloud_type=cloud_type)


def _events_of_cloud(cloud_type: Any) -> QuerySet:
    return InstanceEvent.objects.filter(cloud_account__cloud_type=cloud_type)


class RunningSinceFilter(filters.MomentFilter):
    """Instances that are on and were switched on at or before a moment (spec 02 §5.3)."""

    def filter(self, qs: QuerySet, value: Any) -> QuerySet:
        """Keep the instances whose open run, of which there is at most one, began early enough."""
        if value is None:
            return qs
        open_run = Run.objects.filter(
            instance=OuterRef("pk"), end_time__isnull=True, start_time__lte=value
        )
        return qs.filter(Exists(open_run))


USERS = BrowsableResource(
    name="users",
    model="User",
    rows=_users,
    timestamped=False,
    fields={},
    filters={
        "account_number": filters.text("account_number"),
        "org_id": filters.text("org_id"),
        "uuid": filters.text("uuid"),
        "username": filters.text("account_number"),
        **filters.moments("date_joined"),
    },
)

PERIODIC_TASKS = BrowsableResource(
    name="periodictasks",
    model="PeriodicTask",
    rows=lambda: _all(PeriodicTask),
    timestamped=False,
    fields={},
)

USER_TASK_LOCKS = BrowsableResource(
    name="usertasklocks",
    model="UserTaskLock",
    rows=lambda: _all(UserTaskLock),
    fields={"locked": fields.boolean(), "user": fields.reference("user")},
    filters={
        "user": filters.reference("user", _users),
        "locked": filters.boolean("locked"),
        **filters.times(),
    },
)

CLOUD_ACCOUNTS = BrowsableResource(
    name="cloudaccounts",
    model="CloudAccount",
    rows=_accounts,
    fields={
        "user": fields.reference("user"),
        "is_enabled": fields.boolean(),
        "enabled_at": fields.moment(allow_null=True),
        "is_synthetic": fields.boolean(),
        "platform_authentication_id": fields.integer(),
        "platform_application_id": fields.integer(),
        "platform_source_id": fields.integer(),
        "platform_application_is_paused": fields.boolean(),
        **fields.pointer(RecordKind.ACCOUNT),
    },
    filters={
        "is_enabled": filters.boolean("is_enabled"),
        "is_synthetic": filters.boolean("is_synthetic"),
        "platform_application_is_paused": filters.boolean("platform_application_is_paused"),
        "object_id": filters.whole_number("id"),
        "platform_application_id": filters.whole_number("platform_application_id"),
        "platform_authentication_id": filters.whole_number("platform_authentication_id"),
        "platform_source_id": filters.whole_number("platform_source_id"),
        "user": filters.reference("user", _users),
        **filters.identity("user"),
        **filters.times(),
    },
)

INSTANCES = BrowsableResource(
    name="instances",
    model="Instance",
    rows=_instances,
    fields={
        "cloud_account": fields.reference("cloud_account"),
        "machine_image": fields.reference("machine_image", allow_null=True),
        **fields.pointer(RecordKind.INSTANCE),
    },
    filters={
        "cloud_account": filters.reference("cloud_account", _accounts),
        "machine_image": filters.reference("machine_image", _images),
        "object_id": filters.whole_number("id"),
        "running_since": RunningSinceFilter(
            help_text="Only instances that have run without a break since this ISO 8601 date-time."
        ),
        **filters.identity("cloud_account__user"),
        **filters.times(),
    },
)

INSTANCE_EVENTS = BrowsableResource(
    name="instanceevents",
    model="InstanceEvent",
    rows=_instance_events,
    fields={
        "instance": fields.reference("instance"),
        "event_type": fields.choice(InstanceEvent.Type.choices),
        "occurred_at": fields.moment(),
        **fields.pointer(RecordKind.EVENT),
    },
    filters={
        "event_type": filters.choice("event_type", InstanceEvent.Type.choices),
        "instance": filters.reference("instance", _instances),
        "cloud_account": filters.whole_number("cloud_account_id"),
        "object_id": filters.whole_number("id"),
        **filters.moments("occurred_at"),
        **filters.identity("cloud_account__user"),
        **filters.times(),
    },
)

MACHINE_IMAGES = BrowsableResource(
    name="machineimages",
    model="MachineImage",
    rows=_images,
    large="inspection_json",
    fields={
        "status": fields.choice(MachineImage.Status.choices),
        "inspection_json": fields.text(allow_null=True),
        "is_encrypted": fields.boolean(),
        "rhel_detected_by_tag": fields.boolean(),
        "openshift_detected": fields.boolean(),
        "name": fields.text(allow_null=True),
        "architecture": fields.text(allow_null=True),
        **fields.pointer(RecordKind.IMAGE),
    },
    filters={
        "architecture": filters.text("architecture"),
        "name": filters.text("name"),
        "status": filters.choice("status", MachineImage.Status.choices),
        "object_id": filters.whole_number("id"),
        "owner_aws_account_id": filters.aws_account_id("owner_aws_account_id"),
        **filters.times(),
    },
)

RUNS = BrowsableResource(
    name="runs",
    model="Run",
    rows=lambda: _all(Run),
    fields={
        "start_time": fields.moment(),
        "end_time": fields.moment(allow_null=True),
        "instance_type": fields.text(allow_null=True),
        "memory": fields.number(allow_null=True),
        "vcpu": fields.integer(allow_null=True),
        "machineimage": fields.reference("machine_image", allow_null=True),
        "instance": fields.reference("instance"),
    },
    filters={
        "instance": filters.reference("instance", _instances),
        "machineimage": filters.reference("machine_image", _images),
        "cloud_account": filters.whole_number("cloud_account_id"),
        "instance_type": filters.text("instance_type"),
        "memory": filters.decimal_number("memory"),
        "vcpu": filters.whole_number("vcpu", filters.INTEGER_END),
        **filters.moments("start_time", "end_time"),
        **filters.identity("cloud_account__user"),
        **filters.times(),
    },
)

INSPECTION_STARTS = BrowsableResource(
    name="machineimageinspectionstarts",
    model="MachineImageInspectionStart",
    rows=lambda: _all(InspectionAttempt),
    fields={"machineimage": fields.reference("machine_image")},
    filters={"machineimage": filters.reference("machine_image", _images), **filters.times()},
)

INSTANCE_DEFINITIONS = BrowsableResource(
    name="instancedefinitions",
    model="InstanceDefinition",
    rows=lambda: _all(InstanceDefinition),
    fields={
        "instance_type": fields.text(),
        "memory_mib": fields.integer(),
        "vcpu": serializers.DecimalField(max_digits=8, decimal_places=2, read_only=True),
        "json_definition": fields.AnyJSONField(read_only=True),
        "cloud_type": fields.choice(CloudType.choices),
    },
    filters={
        "cloud_type": filters.choice("cloud_type", CloudType.choices),
        "instance_type": filters.text("instance_type"),
        "memory_mib": filters.whole_number("memory_mib"),
        "vcpu": filters.decimal_number("vcpu"),
        **filters.times(),
    },
)

AWS_CLOUD_ACCOUNTS = BrowsableResource(
    name="awscloudaccounts",
    model="AwsCloudAccount",
    rows=lambda: _of_cloud(CloudAccount, CloudType.AWS),
    fields={"aws_account_id": fields.text(), "account_arn": fields.text()},
    filters={
        "aws_account_id": filters.aws_account_id("aws_account_id"),
        "account_arn": filters.text("account_arn"),
        **filters.identity("user"),
        **filters.times(),
    },
)

AWS_INSTANCES = BrowsableResource(
    name="awsinstances",
    model="AwsInstance",
    rows=lambda: _of_cloud(Instance, CloudType.AWS),
    fields={
        "ec2_instance_id": fields.text(source="cloud_instance_id"),
        "region": fields.text(),
    },
    filters={
        "ec2_instance_id": filters.cloud_id("cloud_instance_id"),
        "region": filters.text("region"),
        **filters.times(),
    },
)

_AMI_FIELDS: dict[str, Field] = {
    "ec2_ami_id": fields.text(source="cloud_image_id"),
    "platform": fields.choice(MachineImage.Platform.choices, allow_null=True),
    "owner_aws_account_id": fields.text(allow_null=True),
    "region": fields.text(allow_null=True),
    "aws_marketplace_image": fields.boolean(source="marketplace"),
    "is_cloud_access": fields.boolean(),
    "is_marketplace": fields.boolean(),
}


def _ami_filters() -> dict:
    return {
        "ec2_ami_id": filters.text("cloud_image_id"),
        "platform": filters.choice("platform", MachineImage.Platform.choices),
        "owner_aws_account_id": filters.aws_account_id("owner_aws_account_id"),
        "region": filters.text("region"),
        "aws_marketplace_image": filters.boolean("marketplace"),
        **filters.times(),
    }


AWS_MACHINE_IMAGES = BrowsableResource(
    name="awsmachineimages",
    model="AwsMachineImage",
    rows=lambda: _of_cloud(MachineImage, CloudType.AWS),
    fields={
        **_AMI_FIELDS,
        "product_codes": fields.AnyJSONField(read_only=True),
        "platform_details": fields.text(allow_null=True),
        "usage_operation": fields.text(allow_null=True),
    },
    filters=_ami_filters(),
)

AWS_MACHINE_IMAGE_COPIES = BrowsableResource(
    name="awsmachineimagecopies",
    model="AwsMachineImageCopy",
    rows=lambda: _of_cloud(MachineImage, CloudType.AWS).filter(reference_image__isnull=False),
    fields={
        **_AMI_FIELDS,
        "reference_awsmachineimage_id": fields.integer(source="reference_image_id"),
    },
    filters={
        **_ami_filters(),
        "reference_awsmachineimage": filters.reference("reference_image", _images),
    },
)

AWS_INSTANCE_EVENTS = BrowsableResource(
    name="awsinstanceevents",
    model="AwsInstanceEvent",
    rows=lambda: _events_of_cloud(CloudType.AWS),
    fields={
        "subnet": fields.text(allow_null=True),
        "instance_type": fields.text(allow_null=True),
    },
    filters={
        "subnet": filters.text("subnet"),
        "instance_type": filters.text("instance_type"),
        **filters.times(),
    },
)

AZURE_CLOUD_ACCOUNTS = BrowsableResource(
    name="azurecloudaccounts",
    model="AzureCloudAccount",
    rows=lambda: _of_cloud(CloudAccount, CloudType.AZURE),
    fields={"subscription_id": serializers.UUIDField(read_only=True)},
    filters={
        "subscription_id": filters.uuid("subscription_id"),
        **filters.identity("user"),
        **filters.times(),
    },
)

AZURE_INSTANCES = BrowsableResource(
    name="azureinstances",
    model="AzureInstance",
    rows=lambda: _of_cloud(Instance, CloudType.AZURE),
    fields={"resource_id": fields.text(source="cloud_instance_id"), "region": fields.text()},
    filters={
        "resource_id": filters.cloud_id("cloud_instance_id"),
        "region": filters.text("region"),
        **filters.times(),
    },
)

AZURE_MACHINE_IMAGES = BrowsableResource(
    name="azuremachineimages",
    model="AzureMachineImage",
    rows=lambda: _of_cloud(MachineImage, CloudType.AZURE),
    fields={
        "resource_id": fields.text(source="cloud_image_id", allow_null=True),
        "region": fields.text(allow_null=True),
        "azure_marketplace_image": fields.boolean(source="marketplace"),
        "is_cloud_access": fields.boolean(),
        "is_marketplace": fields.boolean(),
    },
    filters={
        "resource_id": filters.text("cloud_image_id"),
        "region": filters.text("region"),
        "azure_marketplace_image": filters.boolean("marketplace"),
        **filters.times(),
    },
)

AZURE_INSTANCE_EVENTS = BrowsableResource(
    name="azureinstanceevents",
    model="AzureInstanceEvent",
    rows=lambda: _events_of_cloud(CloudType.AZURE),
    fields={"instance_type": fields.text(allow_null=True)},
    filters={"instance_type": filters.text("instance_type"), **filters.times()},
)

SET_ASIDE_TASKS = BrowsableResource(
    name="setasidetasks",
    model="SetAsideTask",
    rows=lambda: _all(SetAsideTask).defer("message"),
    fields={
        "name": fields.text(),
        "task_id": fields.text(),
        "arguments": fields.text(),
        "lost_processes": fields.integer(),
        "released_at": fields.moment(allow_null=True),
    },
    filters={
        "name": filters.text("name"),
        "task_id": filters.text("task_id"),
        "is_released": filters.given("released_at"),
        **filters.moments("released_at"),
        **filters.times(),
    },
    in_root=False,
)
"""Decision 43. Messages themselves may hold what is not for everybody's eyes."""

AUDIT_ENTRIES = BrowsableResource(
    name="auditentries",
    model="AuditEntry",
    rows=lambda: _all(AuditEntry),
    fields={
        "actor": fields.text(),
        "remote_address": fields.text(),
        "request_id": fields.text(),
        "action": fields.choice(AuditEntry.Action.choices),
        "user_id": fields.integer(allow_null=True),
        "target": fields.text(),
        "arguments": fields.AnyJSONField(read_only=True),
        "outcome": fields.choice(AuditEntry.Outcome.choices),
        "detail": fields.text(),
        "done": fields.integer(),
        "total": fields.integer(allow_null=True),
        "cancel_requested_at": fields.moment(allow_null=True),
        "finished_at": fields.moment(allow_null=True),
    },
    filters={
        "action": filters.choice("action", AuditEntry.Action.choices),
        "outcome": filters.choice("outcome", AuditEntry.Outcome.choices),
        "actor": filters.text("actor"),
        "user_id": filters.whole_number("user_id"),
        "is_finished": filters.given("finished_at"),
        **filters.moments("finished_at"),
        **filters.times(),
    },
    in_root=False,
)
"""What operators did on the console (spec 12 §3)."""

READ_ONLY = (
    INSTANCES,
    INSTANCE_EVENTS,
    RUNS,
    INSPECTION_STARTS,
    INSTANCE_DEFINITIONS,
    AWS_CLOUD_ACCOUNTS,
    AWS_INSTANCES,
    AWS_MACHINE_IMAGES,
    AWS_MACHINE_IMAGE_COPIES,
    AWS_INSTANCE_EVENTS,
    AZURE_CLOUD_ACCOUNTS,
    AZURE_INSTANCES,
    AZURE_MACHINE_IMAGES,
    AZURE_INSTANCE_EVENTS,
    SET_ASIDE_TASKS,
    AUDIT_ENTRIES,
)
"""Resources that are nothing but lists and details; the others have a module of their own."""
