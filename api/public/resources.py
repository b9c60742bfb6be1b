"""The resources that customers list: accounts, instances, images and days (spec 01 §6 to §8).

Each is declared once, as ``api.public.shapes`` says.
"""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from api import models
from api.billing.classes import BillingClass
from api.metering.count_text import MaximumCount
from api.models import CloudType
from api.models.instance import PowerState
from api.public import coverage_components
from api.public.filters import IS_RHEL
from api.public.instance_fields import INSTANCE_COLUMNS, OPENSHIFT, UNKNOWN, VCPU
from api.public.renderers import is_object, stored_json
from api.public.shapes import Member, Shape, ShapePart
from util.batches import PIECE

_AWS_ACCOUNT_ID = Meta(pattern=r"^\d{12}$")


class _AccountPart(ShapePart):
    table: ClassVar[str] = "account"


class AwsCloudAccountContent(_AccountPart):
    """An AWS account."""

    cloud: ClassVar[str] = CloudType.AWS

    aws_cloud_account_id: Annotated[int, Member("account.id")]
    account_arn: Annotated[str, Meta(description="The role that we assume.")]
    aws_account_id: Annotated[str, _AWS_ACCOUNT_ID]
    created_at: datetime
    updated_at: datetime


class AzureCloudAccountContent(_AccountPart):
    """An Azure subscription."""

    cloud: ClassVar[str] = CloudType.AZURE

    azure_cloud_account_id: Annotated[int, Member("account.id")]
    subscription_id: UUID
    created_at: datetime
    updated_at: datetime


class CloudAccount(_AccountPart):
    """A customer's account with a public cloud."""

    account_id: Annotated[int, Member("account.id")]
    created_at: datetime
    updated_at: datetime
    user_id: int
    cloud_type: CloudType
    content_object: AwsCloudAccountContent | AzureCloudAccountContent
    is_enabled: Annotated[bool, Meta(description="Whether usage is metered now.")]
    platform_authentication_id: int
    platform_application_id: int
    platform_application_is_paused: bool
    platform_source_id: int


class _InstancePart(ShapePart):
    table: ClassVar[str] = "instance"


class AwsInstanceContent(_InstancePart):
    """An EC2 instance."""

    cloud: ClassVar[str] = CloudType.AWS

    aws_instance_id: Annotated[int, Member("instance.id")]
    ec2_instance_id: Annotated[str, Member("instance.cloud_instance_id")]
    region: str
    created_at: datetime
    updated_at: datetime


class AzureInstanceContent(_InstancePart):
    """An Azure virtual machine."""

    cloud: ClassVar[str] = CloudType.AZURE

    azure_instance_id: Annotated[int, Member("instance.id")]
    resource_id: Annotated[
        str,
        Member("instance.cloud_instance_id"),
        Meta(description="The id in Azure Resource Manager."),
    ]
    region: str
    created_at: datetime
    updated_at: datetime


class InstanceState(_InstancePart):
    """What is known of an instance now."""

    status: Annotated[
        str,
        Member(INSTANCE_COLUMNS["status"].sql),
        Meta(
            description="Unknown if no power event is known.",
            extra={"choices": [*PowerState.values, UNKNOWN]},
        ),
    ]
    since: Annotated[
        datetime | None,
        Member("instance.power_changed_at"),
        Meta(description="Of the newest power event."),
    ]
    instance_type: str | None
    vcpu: Annotated[
        int | None,
        Member(VCPU),
        Meta(description="By the instance's own CPU options, or else by its type."),
    ]
    rhel: Annotated[
        bool | None,
        Member(INSTANCE_COLUMNS["rhel"].sql),
        Meta(description="Null while the image is unknown."),
    ]
    rhel_version: Annotated[str | None, Member(INSTANCE_COLUMNS["rhel_version"].sql)]
    billing: Annotated[
        BillingClass,
        Member(INSTANCE_COLUMNS["billing"].sql),
        Meta(description="Who is paid for RHEL."),
    ]
    usage_operation: Annotated[str | None, Member(INSTANCE_COLUMNS["usage_operation"].sql)]


class Instance(_InstancePart):
    """A virtual machine."""

    instance_id: Annotated[int, Member("instance.id")]
    cloud_account_id: int
    machine_image_id: Annotated[int | None, Meta(description="Null while the image is unknown.")]
    created_at: datetime
    updated_at: datetime
    cloud_type: CloudType
    content_object: AwsInstanceContent | AzureInstanceContent
    state: Annotated[
        InstanceState | UnsetType, Meta(description="Only in lists, with `include=state`.")
    ] = UNSET


class ProductCode(Struct):
    """A product code as EC2 reports it."""

    ProductCodeId: str
    ProductCodeType: str


class _ImagePart(ShapePart):
    table: ClassVar[str] = "image"


class AwsMachineImageContent(_ImagePart):
    """An Amazon machine image."""

    cloud: ClassVar[str] = CloudType.AWS

    aws_image_id: Annotated[int, Member("image.id")]
    id: Annotated[int, Meta(description="The same as aws_image_id.")]
    ec2_ami_id: Annotated[str, Member("image.cloud_image_id")]
    owner_aws_account_id: Annotated[str | None, _AWS_ACCOUNT_ID]
    platform: models.MachineImage.Platform | None
    region: str | None
    is_cloud_access: bool
    is_marketplace: bool
    product_codes: Annotated[list[ProductCode] | Raw | None, Member(convert=stored_json)]
    platform_details: str | None
    usage_operation: str | None
    created_at: datetime
    updated_at: datetime


class AzureMachineImageContent(_ImagePart):
    """An Azure image or SKU."""

    cloud: ClassVar[str] = CloudType.AZURE

    azure_image_id: Annotated[int, Member("image.id")]
    id: Annotated[int, Meta(description="The same as azure_image_id.")]
    resource_id: Annotated[str | None, Member("image.cloud_image_id")]
    region: str | None
    is_marketplace: bool
    created_at: datetime
    updated_at: datetime


def _unless_large(column: str) -> str:
    """Read a column of a row unless all rows of the page up to it are large together."""
    return f"CASE WHEN image.bytes <= {PIECE} THEN image.{column} END"


def system_purpose(text: str | None) -> Raw | None:
    """Return a system purpose as it is shown: what an inspection found may be no object."""
    return stored_json(text) if is_object(text) else None


_RHEL = Member(IS_RHEL)
_OPENSHIFT = Member(OPENSHIFT)


class MachineImage(_ImagePart):
    """An image from which instances are started."""

    image_id: Annotated[int, Member("image.id")]
    architecture: str | None
    name: str | None
    status: models.MachineImage.Status
    is_encrypted: bool
    inspection_json: Annotated[
        str | None,
        Member(_unless_large("inspection_json")),
        Meta(description="What the inspection found, as JSON text."),
    ]
    rhel: Annotated[bool, _RHEL, Meta(description="The same as rhel_detected.")]
    rhel_detected: Annotated[bool, _RHEL]
    rhel_detected_by_tag: Annotated[
        bool,
        Member(
            "CASE WHEN image.cloud_type = 'aws' THEN COALESCE(own_tags.rhel, false)"
            " ELSE image.rhel_detected_by_tag END"
        ),
    ]
    rhel_enabled_repos_found: bool
    rhel_product_certs_found: bool
    rhel_release_files_found: bool
    rhel_signed_packages_found: bool
    rhel_version: str | None
    syspurpose: Annotated[
        dict[str, Any] | Raw | None,
        Member(_unless_large("syspurpose"), convert=system_purpose),
        Meta(description="The system purpose that the inspection found."),
    ]
    openshift: Annotated[bool, _OPENSHIFT, Meta(description="The same as openshift_detected.")]
    openshift_detected: Annotated[bool, _OPENSHIFT]
    created_at: datetime
    updated_at: datetime
    cloud_type: CloudType
    content_object: AwsMachineImageContent | AzureMachineImageContent


class DailyConcurrentUsage(Struct):
    """The use of RHEL on one UTC day."""

    date: date
    maximum_counts: Annotated[
        list[MaximumCount] | Raw, Meta(description="Empty if no RHEL was seen.")
    ]
    quality: Annotated[
        dict[str, Any] | UnsetType,
        Member(field=coverage_components.Quality),
        Meta(description="Only with `include=quality`."),
    ] = UNSET


ACCOUNTS: Final = Shape(CloudAccount)
INSTANCES: Final = Shape(Instance)
INSTANCES_WITH_STATE: Final = Shape(Instance, including=["state"])
IMAGES: Final = Shape(MachineImage)
