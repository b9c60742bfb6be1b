"""From what is stored of an image to what metering and the APIs need (spec 05 §1, 07 §5.1)."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from api.models import CloudType, MachineImage

RED_HAT_OWNERS = frozenset({"841258680906", "219670896067", "309956199498"})
"""AWS accounts that publish Red Hat's own images: China, GovCloud, everywhere else."""

CLOUD_ACCESS_MARK = "-access2"
HOURLY_MARK = "-hourly2"
MARKETPLACE = "marketplace"
"""Type of the product codes of what AWS sells."""

FOUND_KEYS = (
    "rhel_enabled_repos_found",
    "rhel_product_certs_found",
    "rhel_release_files_found",
    "rhel_signed_packages_found",
)
FACET_LENGTH = 64
"""Characters (code points) that a role, SLA, usage or service type may have; the rest is cut."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and halves of surrogate pairs, which JSON may spell but PostgreSQL cannot store."""


COUNTED_COLUMNS = ("architecture", "role", "sla", "usage", "service_type")
"""Columns that move a customer's numbers, beside whether the image is RHEL for that customer.

A change of others withdraws nothing.
"""

RHEL_FOR_EVERYBODY = f"""(
    image.cloud_type = 'azure' AND image.rhel_detected_by_tag OR image.rhel_detected_by_license
    OR image.is_cloud_access OR {" OR ".join(f"image.{key}" for key in FOUND_KEYS)})"""
"""SQL: whether ``image``, a row of images, is RHEL for all who use it.

For others an AMI is RHEL if their own tags say so (``ImageTags``). An Azure image has one user.
"""


@dataclass(frozen=True, slots=True)
class ResultFacts:
    """The derived columns that follow from an inspection result alone."""

    rhel_enabled_repos_found: bool
    rhel_product_certs_found: bool
    rhel_release_files_found: bool
    rhel_signed_packages_found: bool
    rhel_version: str | None
    syspurpose: Any
    role: str
    sla: str
    usage: str
    service_type: str


def read_result(text: str | None) -> ResultFacts:
    """Return what a stored inspection result says, however odd it is."""
    result = parse_inspection(text)
    found = {key: result.get(key) is True for key in FOUND_KEYS}
    syspurpose = result.get("syspurpose")
    purpose = syspurpose if isinstance(syspurpose, Mapping) else {}
    version = result.get("rhel_version")
    return ResultFacts(
        **found,
        rhel_version=None if version is None else storable_text(str(version)),
        syspurpose=syspurpose,
        role=facet(purpose.get("role")),
        sla=facet(purpose.get("service_level_agreement")),
        usage=facet(purpose.get("usage")),
        service_type=facet(purpose.get("service_type")),
    )


def apply(image: MachineImage) -> MachineImage:
    """Set the derived columns of an image that is not stored yet, or will be by the caller.

    Of an image that was read without its inspection result, what follows from that stays as it is.
    """
    if "inspection_json" not in image.get_deferred_fields():
        result = read_result(image.inspection_json)
        for column in fields(ResultFacts):
            setattr(image, column.name, getattr(result, column.name))
    name = (image.name or "").lower()
    is_red_hats = image.cloud_type == CloudType.AWS and image.owner_aws_account_id in RED_HAT_OWNERS
    image.is_cloud_access = is_red_hats and CLOUD_ACCESS_MARK in name
    image.is_marketplace = image.marketplace or (is_red_hats and HOURLY_MARK in name)
    image.is_rhel = image.rhel_detected_by_tag or is_rhel_for_everybody(image)
    return image


def is_rhel_for_everybody(image: MachineImage) -> bool:
    """Return what ``RHEL_FOR_EVERYBODY`` tells, of an image with its derived columns."""
    return (
        (image.cloud_type == CloudType.AZURE and image.rhel_detected_by_tag)
        or image.rhel_detected_by_license
        or image.is_cloud_access
        or any(getattr(image, key) for key in FOUND_KEYS)
    )


def is_sold(product_codes: Any) -> bool:
    """Return whether product codes, as EC2 describes them, are those of the marketplace."""
    codes = product_codes if isinstance(product_codes, list) else []
    return any(
        isinstance(code, Mapping) and code.get("ProductCodeType") == MARKETPLACE for code in codes
    )


def parse_inspection(text: str | None) -> Mapping[str, Any]:
    """Read a stored inspection result; what is no JSON object counts as absent."""
    if not text:
        return {}
    try:
        result = json.loads(text, parse_constant=_finite, parse_float=_finite)
        return storable(result) if isinstance(result, Mapping) else {}
    except (ValueError, RecursionError):
        return {}


def _finite(number: str) -> float | None:
    """Read a number; what is none, or too large for one, is unknown."""
    value = float(number)
    return value if math.isfinite(value) else None


def facet(value: object) -> str:
    """Return a facet's value: text cut to 64 characters, or empty for anything else (07 §5.1)."""
    return storable_text(value)[:FACET_LENGTH] if isinstance(value, str) else ""


def storable_text(text: str) -> str:
    """Drop the characters that PostgreSQL cannot store."""
    return _UNSTORABLE.sub("", text)


def storable(value: Any) -> Any:
    """Drop such characters anywhere in parsed JSON."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(key): storable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [storable(member) for member in value]
    return value
