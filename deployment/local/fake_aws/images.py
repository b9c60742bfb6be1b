"""Images that other accounts may use, and images with the attributes given at registration."""

from copy import copy
from types import SimpleNamespace
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError
from moto.ec2.models.amis import AmiBackend
from moto.ec2.responses.amis import AmisResponse

from deployment.local.fake_aws.backends import other_accounts
from deployment.local.fake_aws.extend import replaces
from deployment.local.fake_aws.snapshots import is_shared_with

_NO_STORAGE_ACCESS = "You do not have permission to access the storage of this ami"
_BILLING_CODES = "Images with EC2 BillingProduct codes cannot be copied to another AWS account"


@replaces(AmiBackend, "describe_images")
def describe_images(
    original: Any, self: Any, ami_ids: list[str] | None = None, *args: Any, **kwargs: Any
) -> Any:
    """Show public images of other accounts, and those shared with this one.

    AWS shows an account the tags that it has put on them itself, and no others.
    """
    visible = dict(self.amis)
    for neighbour in other_accounts(self):
        visible |= {
            image.id: _as_seen_by(self, image)
            for image in neighbour.amis.values()
            if image.is_public or {"UserId": self.account_id} in image.launch_permissions
        }
    unknown = [image_id for image_id in ami_ids or () if image_id not in visible]
    if unknown and all(image_id.startswith("ami-") for image_id in unknown):
        raise InvalidAMIIdError(unknown)
    everything = SimpleNamespace(amis=visible, deleted_amis=[], account_id=self.account_id)
    return original(everything, ami_ids, *args, **kwargs)


def _as_seen_by(backend: Any, image: Any) -> Any:
    """Return an image whose tags are looked up in the account that sees it."""
    seen = copy(image)
    seen.ec2_backend = backend
    return seen


@replaces(AmiBackend, "copy_image")
def copy_image(
    original: Any, self: Any, source_image_id: str, source_region: str, *args: Any, **kwargs: Any
) -> Any:
    """Refuse copies of foreign images as AWS does: sold ones, and ones with closed storage."""
    for image in self.describe_images(ami_ids=[source_image_id]):
        if image.owner_id != self.account_id:
            if image.product_codes:
                raise EC2ClientError("InvalidRequest", _BILLING_CODES)
            if not is_shared_with(image.ebs_snapshot, self.account_id):
                raise EC2ClientError("InvalidRequest", _NO_STORAGE_ACCESS)
    return original(self, source_image_id, source_region, *args, **kwargs)


@replaces(AmisResponse, "copy_image")
def copy_image_once(original: Any, self: Any) -> Any:
    """Make one copy for a token, however often it is asked for."""
    token = self._get_param("ClientToken")
    copies = self.ec2_backend.__dict__.setdefault("copies_by_token", {})
    if token and copies.get(token) in self.ec2_backend.amis:
        return ActionResult({"ImageId": copies[token]})
    result = original(self)
    if token:
        copies[token] = result.result["ImageId"]
    return result


@replaces(AmisResponse, "register_image")
def register_image(original: Any, self: Any) -> Any:
    """Keep what else the request says of the image: architecture, tags, root device."""
    result = original(self)
    image = self.ec2_backend.amis[result.result["ImageId"]]
    image.architecture = self._get_param("Architecture") or "x86_64"
    image.root_device_name = self._get_param("RootDeviceName") or image.root_device_name
    image.root_device_type = "ebs"
    image.virtualization_type = "hvm"
    image.add_tags(self._parse_tag_specification().get("image", {}))
    _set_platform(image)
    for mapping in self._get_param("BlockDeviceMappings") or []:
        snapshot_id = mapping.get("Ebs", {}).get("SnapshotId")
        if mapping["DeviceName"] == image.root_device_name and snapshot_id:
            image.ebs_snapshot = self.ec2_backend.get_snapshot(snapshot_id)
    return result


def _set_platform(image: Any) -> None:
    """Derive the platform from the name: AWS looks into the disk, and there is none here."""
    is_windows = (image.name or "").lower().startswith("windows")
    image.platform = "windows" if is_windows else None
    image.platform_details = "Windows" if is_windows else "Linux/UNIX"
    image.usage_operation = "RunInstances:0002" if is_windows else "RunInstances"


@replaces(AmisResponse, "modify_image_attribute")
def modify_image_attribute(original: Any, self: Any) -> Any:
    """Let the owner set product codes, by which marketplace images are known."""
    product_codes = self._get_param("ProductCodes")
    if not product_codes:
        return original(self)
    self.ec2_backend.amis[self._get_param("ImageId")].product_codes = [
        {"ProductCodeId": code, "ProductCodeType": "marketplace"} for code in product_codes
    ]
    return EmptyResult()
