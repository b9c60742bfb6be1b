"""What clients see of accounts, instances and images: from rows to JSON objects (spec 01 §6, §7).

The functions are plain because lists of a hundred objects pass through them; that they keep to the
components of the OpenAPI document is tested. Instants stay what they are until they are written.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from api.models import CloudAccount, CloudType
from api.public.renderers import is_object, stored_json

JSONObject = dict[str, Any]


class AccountRow(NamedTuple):
    """The columns that are shown of an account."""

    id: int
    created_at: datetime
    updated_at: datetime
    user_id: int
    cloud_type: str
    aws_account_id: str | None
    account_arn: str | None
    subscription_id: UUID | None
    is_enabled: bool
    platform_authentication_id: int
    platform_application_id: int
    platform_application_is_paused: bool
    platform_source_id: int


class InstanceRow(NamedTuple):
    """The columns that are shown of an instance."""

    id: int
    created_at: datetime
    updated_at: datetime
    cloud_account_id: int
    machine_image_id: int | None
    cloud_type: str
    cloud_instance_id: str
    region: str


class ImageRow(NamedTuple):
    """The columns that are shown of an image; what is JSON comes as text, as cursors give it."""

    id: int
    created_at: datetime
    updated_at: datetime
    cloud_type: str
    cloud_image_id: str
    architecture: str | None
    name: str | None
    status: str
    is_encrypted: bool
    inspection_json: str | None
    is_rhel: bool
    rhel_detected_by_tag: bool
    rhel_enabled_repos_found: bool
    rhel_product_certs_found: bool
    rhel_release_files_found: bool
    rhel_signed_packages_found: bool
    rhel_version: str | None
    syspurpose: str | None
    openshift_detected: bool
    owner_aws_account_id: str | None
    platform: str | None
    region: str | None
    is_cloud_access: bool
    is_marketplace: bool
    product_codes: str | None
    platform_details: str | None
    usage_operation: str | None


def account_object(account: AccountRow | CloudAccount) -> JSONObject:
    """Show a cloud account (spec 01 §6.2)."""
    created_at, updated_at = account.created_at, account.updated_at
    content: JSONObject
    if account.cloud_type == CloudType.AWS:
        content = {
            "aws_cloud_account_id": account.id,
            "account_arn": account.account_arn,
            "aws_account_id": account.aws_account_id,
            "created_at": created_at,
            "updated_at": updated_at,
        }
    else:
        content = {
            "azure_cloud_account_id": account.id,
            "subscription_id": str(account.subscription_id),
            "created_at": created_at,
            "updated_at": updated_at,
        }
    return {
        "account_id": account.id,
        "created_at": created_at,
        "updated_at": updated_at,
        "user_id": account.user_id,
        "cloud_type": account.cloud_type,
        "content_object": content,
        "is_enabled": account.is_enabled,
        "platform_authentication_id": account.platform_authentication_id,
        "platform_application_id": account.platform_application_id,
        "platform_application_is_paused": account.platform_application_is_paused,
        "platform_source_id": account.platform_source_id,
    }


def instance_object(instance: InstanceRow) -> JSONObject:
    """Show an instance (spec 01 §7.1)."""
    created_at, updated_at = instance.created_at, instance.updated_at
    if instance.cloud_type == CloudType.AWS:
        id_name, cloud_id_name = "aws_instance_id", "ec2_instance_id"
    else:
        id_name, cloud_id_name = "azure_instance_id", "resource_id"
    return {
        "instance_id": instance.id,
        "cloud_account_id": instance.cloud_account_id,
        "machine_image_id": instance.machine_image_id,
        "created_at": created_at,
        "updated_at": updated_at,
        "cloud_type": instance.cloud_type,
        "content_object": {
            id_name: instance.id,
            cloud_id_name: instance.cloud_instance_id,
            "region": instance.region,
            "created_at": created_at,
            "updated_at": updated_at,
        },
    }


def image_object(image: ImageRow) -> JSONObject:
    """Show an image (spec 01 §7.2)."""
    created_at, updated_at = image.created_at, image.updated_at
    if image.cloud_type == CloudType.AWS:
        content = {
            "aws_image_id": image.id,
            "id": image.id,
            "ec2_ami_id": image.cloud_image_id,
            "owner_aws_account_id": image.owner_aws_account_id,
            "platform": image.platform,
            "region": image.region,
            "is_cloud_access": image.is_cloud_access,
            "is_marketplace": image.is_marketplace,
            "product_codes": stored_json(image.product_codes),
            "platform_details": image.platform_details,
            "usage_operation": image.usage_operation,
            "created_at": created_at,
            "updated_at": updated_at,
        }
    else:
        content = {
            "azure_image_id": image.id,
            "id": image.id,
            "resource_id": image.cloud_image_id,
            "region": image.region,
            "is_marketplace": image.is_marketplace,
            "created_at": created_at,
            "updated_at": updated_at,
        }
    syspurpose = image.syspurpose
    return {
        "image_id": image.id,
        "architecture": image.architecture,
        "name": image.name,
        "status": image.status,
        "is_encrypted": image.is_encrypted,
        "inspection_json": image.inspection_json,
        "rhel": image.is_rhel,
        "rhel_detected": image.is_rhel,
        "rhel_detected_by_tag": image.rhel_detected_by_tag,
        "rhel_enabled_repos_found": image.rhel_enabled_repos_found,
        "rhel_product_certs_found": image.rhel_product_certs_found,
        "rhel_release_files_found": image.rhel_release_files_found,
        "rhel_signed_packages_found": image.rhel_signed_packages_found,
        "rhel_version": image.rhel_version,
        "syspurpose": stored_json(syspurpose if is_object(syspurpose) else None),
        "openshift": image.openshift_detected,
        "openshift_detected": image.openshift_detected,
        "created_at": created_at,
        "updated_at": updated_at,
        "cloud_type": image.cloud_type,
        "content_object": content,
    }
