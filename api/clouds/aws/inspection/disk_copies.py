"""Copies of images and of their root disks (spec 05 §4.1, §4.2, §4.5).

What is done inside the customer's account takes a client of that account; snapshot copies belong to
us and lie in our default region. Nothing here knows what is stored of the images.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.arn import parse_arn
from api.clouds.aws.errors import NotReadyError, code_of
from api.clouds.aws.inspection.tags import AMI, ATTEMPT, SOURCE, specification
from api.clouds.aws.session import clients

logger = logging.getLogger(__name__)

PERMISSION = "createVolumePermission"
ORIGINAL_ID_TAG = "cloudigrade original image id"
ORIGINAL_NAME_TAG = "cloudigrade original image name"
MAX_NAME = 128
"""Characters of an AMI's name."""

NO_STORAGE_ACCESS = "You do not have permission to access the storage of this ami"
SOLD = frozenset(
    {
        "Images from AWS Marketplace cannot be copied to another AWS account",
        "Images with EC2 BillingProduct codes cannot be copied to another AWS account",
    }
)
_TOO_MANY_COPIES = frozenset({"ResourceLimitExceeded", "ConcurrentSnapshotLimitExceeded"})

Description = dict[str, Any]


class NotCopyableError(Exception):
    """The image's owner lets nobody copy it; ``is_sold`` if it is on the market or public."""

    def __init__(self, reason: str, *, is_sold: bool):
        super().__init__(reason)
        self.is_sold = is_sold


class SnapshotFailedError(RuntimeError):
    """AWS could not finish a snapshot."""


def customer_ec2(arn: str, region: str) -> Any:
    """Return an EC2 client inside a customer's account."""
    return clients.of_customer(parse_arn(arn), "ec2", region)


def own_ec2() -> Any:
    """Return our own EC2 client, in the region where inspections happen."""
    return clients.own("ec2", settings.AWS_DEFAULT_REGION)


def is_not_found(error: ClientError) -> bool:
    """Return whether AWS says that something does not exist, or no more."""
    return code_of(error).endswith((".NotFound", "AMIID.Unavailable"))


def load_image(ec2: Any, ami_id: str) -> Description | None:
    """Describe an AMI; gives None if it cannot be loaded and never will be.

    Raises NotReadyError for one that is neither available nor failed.
    """
    try:
        found = ec2.describe_images(ImageIds=[ami_id])["Images"]
    except ClientError as error:
        if is_not_found(error):
            return None
        raise
    image: Description | None = found[0] if found else None
    if image is None or image["State"] in ("failed", "deregistered"):
        return None
    if image["State"] != "available":
        raise NotReadyError(f"image {ami_id} is {image['State']}")
    return image


def root_snapshot_id(image: Description) -> str | None:
    """Return the snapshot behind an AMI's root device, if it has one."""
    root = image.get("RootDeviceName")
    for mapping in image.get("BlockDeviceMappings", ()):
        if mapping.get("DeviceName") == root:
            return mapping.get("Ebs", {}).get("SnapshotId") or None
    return None


def load_snapshot(ec2: Any, snapshot_id: str) -> Description | None:
    """Describe a snapshot; gives None if the account of the client cannot see it."""
    try:
        found = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    except ClientError as error:
        if code_of(error) == "InvalidSnapshot.NotFound":
            return None
        raise
    return found[0] if found else None


def share(ec2: Any, snapshot_id: str, *, account_id: str) -> None:
    """Let an account copy a snapshot. Raises NotReadyError until AWS shows that it may."""
    _permit(ec2, snapshot_id, "add", account_id)
    if account_id not in _permitted(ec2, snapshot_id):
        raise NotReadyError(f"snapshot {snapshot_id} is not shared yet")


def unshare(ec2: Any, snapshot_id: str, *, account_id: str) -> None:
    """Take an account's right to copy a snapshot away; nothing is wrong if it has none.

    Raises NotReadyError until AWS shows that it is gone.
    """
    try:
        _permit(ec2, snapshot_id, "remove", account_id)
        permitted = _permitted(ec2, snapshot_id)
    except ClientError as error:
        if code_of(error) == "InvalidSnapshot.NotFound":
            return
        raise
    if account_id in permitted:
        raise NotReadyError(f"snapshot {snapshot_id} is still shared")


def _permit(ec2: Any, snapshot_id: str, operation: str, account_id: str) -> None:
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot_id,
        Attribute=PERMISSION,
        OperationType=operation,
        UserIds=[account_id],
    )


def _permitted(ec2: Any, snapshot_id: str) -> set[str]:
    answer = ec2.describe_snapshot_attribute(SnapshotId=snapshot_id, Attribute=PERMISSION)
    return {one["UserId"] for one in answer.get("CreateVolumePermissions", ()) if "UserId" in one}


def find_or_copy_snapshot(*, snapshot_id: str, region: str, ami_id: str, attempt: str) -> str:
    """Copy a shared snapshot into our account, unless this attempt has a copy already.

    Raises NotReadyError while AWS makes as many copies for us as it is willing to.
    """
    ec2 = own_ec2()
    filters = [{"Name": f"tag:{ATTEMPT}", "Values": [attempt]}]
    for known in ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]:
        return str(known["SnapshotId"])
    tags = specification("snapshot", {AMI: ami_id, ATTEMPT: attempt, SOURCE: snapshot_id})
    try:
        answer = ec2.copy_snapshot(
            SourceRegion=region,
            SourceSnapshotId=snapshot_id,
            Description=f"cloudigrade inspection of {ami_id}",
            Encrypted=False,
            TagSpecifications=[tags],
        )
    except ClientError as error:
        if code_of(error) in _TOO_MANY_COPIES:
            raise NotReadyError("too many snapshots are being copied") from error
        raise
    return str(answer["SnapshotId"])


def is_copied(snapshot_copy_id: str) -> bool:
    """Return whether our copy is whole; False if it exists no more.

    Raises NotReadyError while it is made, SnapshotFailedError if AWS failed to.
    """
    copy = load_snapshot(own_ec2(), snapshot_copy_id)
    if copy is None:
        return False
    if copy["State"] == "error":
        raise SnapshotFailedError(f"snapshot copy {snapshot_copy_id} failed")
    if copy["State"] != "completed":
        raise NotReadyError(f"snapshot copy {snapshot_copy_id} is {copy['State']}")
    return True


def delete_copy(snapshot_copy_id: str) -> None:
    """Delete a snapshot of ours; one that is gone is fine."""
    try:
        own_ec2().delete_snapshot(SnapshotId=snapshot_copy_id)
    except ClientError as error:
        if code_of(error) != "InvalidSnapshot.NotFound":
            raise


def find_or_copy_image(
    ec2: Any, image: Description, *, region: str, token: str, copies: Sequence[str] = ()
) -> str | None:
    """Copy an AMI within the customer's account, unless one of our ``copies`` is still there.

    What else looks like a copy in the customer's account is not believed to be one: names, tags and
    descriptions are the customer's to choose. AWS makes one copy for a ``token``, however often it
    is asked. Returns the copy's id, or None if the original vanished. Raises NotCopyableError.
    """
    ami_id, name = image["ImageId"], image.get("Name") or ""
    known = _first_usable(ec2, copies)
    if known:
        return known
    copy_name = f"cloudigrade reference copy ({name})"[:MAX_NAME]
    try:
        copy_id = str(
            ec2.copy_image(
                Name=copy_name,
                Description=f"cloudigrade reference copy of {ami_id}",
                SourceImageId=ami_id,
                SourceRegion=region,
                ClientToken=token,
            )["ImageId"]
        )
    except ClientError as error:
        if is_not_found(error):
            return None
        _explain_refusal(error, is_public=bool(image.get("Public")))
        raise
    tags = {"Name": copy_name, ORIGINAL_ID_TAG: ami_id, ORIGINAL_NAME_TAG: name}
    _tag(ec2, copy_id, tags)
    return copy_id


def _first_usable(ec2: Any, ami_ids: Sequence[str]) -> str | None:
    if not ami_ids:
        return None
    filters = [
        {"Name": "image-id", "Values": list(ami_ids)},
        {"Name": "state", "Values": ["available", "pending"]},
    ]
    for image in ec2.describe_images(Owners=["self"], Filters=filters)["Images"]:
        return str(image["ImageId"])
    return None


def _tag(ec2: Any, resource_id: str, tags: Mapping[str, str]) -> None:
    ec2.create_tags(
        Resources=[resource_id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )


def _explain_refusal(error: ClientError, *, is_public: bool) -> None:
    """Raise NotCopyableError for what AWS refuses for good."""
    if code_of(error) != "InvalidRequest":
        return
    message = str(error.response["Error"].get("Message", "")).removesuffix(".")
    if message in SOLD:
        raise NotCopyableError(message, is_sold=True) from error
    if message == NO_STORAGE_ACCESS:
        raise NotCopyableError(message, is_sold=is_public) from error
