"""From what is stored of an image to what metering and the APIs need (spec 05 §1, 07 §5.1)."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from api.models import CloudType, MachineImage

RED_HAT_OWNERS = frozenset({"841258680906", "219670896067", "309956199498"})
"""AWS accounts that publish Red Hat's own images: China, GovCloud, everywhere else."""

CLOUD_ACCESS_MARK = "-access2"
HOURLY_MARK = "-hourly2"
FOUND_KEYS = (
    "rhel_enabled_repos_found",
    "rhel_product_certs_found",
    "rhel_release_files_found",
    "rhel_signed_packages_found",
)
FACET_LENGTH = 64
"""Characters (code points) that a role, SLA, usage or service type may have; the rest is cut."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and halves of surrogate pairs, which JSON may spell but PostgreSQL can not store."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The derived columns of one image."""

    is_cloud_access: bool
    is_marketplace: bool
    rhel_enabled_repos_found: bool
    rhel_product_certs_found: bool
    rhel_release_files_found: bool
    rhel_signed_packages_found: bool
    rhel_version: str | None
    syspurpose: Any
    is_rhel: bool
    role: str
    sla: str
    usage: str
    service_type: str


COUNTED_COLUMNS = ("is_rhel", "architecture", "role", "sla", "usage", "service_type")
"""Columns whose change moves a customer's numbers; a change of others withdraws nothing."""


def derive(image: MachineImage) -> ImageFacts:
    """Compute the derived columns of an image from its stored ones, however odd those are."""
    result = parse_inspection(image.inspection_json)
    found = {key: result.get(key) is True for key in FOUND_KEYS}
    by_red_hat = image.owner_aws_account_id in RED_HAT_OWNERS
    name = (image.name or "").lower()
    is_aws = image.cloud_type == CloudType.AWS
    is_cloud_access = is_aws and by_red_hat and CLOUD_ACCESS_MARK in name
    syspurpose = result.get("syspurpose")
    purpose = syspurpose if isinstance(syspurpose, Mapping) else {}
    version = result.get("rhel_version")
    return ImageFacts(
        is_cloud_access=is_cloud_access,
        is_marketplace=image.marketplace or (is_aws and by_red_hat and HOURLY_MARK in name),
        **found,
        rhel_version=None if version is None else storable_text(str(version)),
        syspurpose=syspurpose,
        is_rhel=(
            image.rhel_detected_by_tag
            or image.rhel_detected_by_license
            or is_cloud_access
            or any(found.values())
        ),
        role=facet(purpose.get("role")),
        sla=facet(purpose.get("service_level_agreement")),
        usage=facet(purpose.get("usage")),
        service_type=facet(purpose.get("service_type")),
    )


def apply(image: MachineImage) -> MachineImage:
    """Set the derived columns of an image that is not stored yet, or will be by the caller."""
    for column, value in asdict(derive(image)).items():
        setattr(image, column, value)
    return image


def parse_inspection(text: str | None) -> Mapping[str, Any]:
    """Read a stored inspection result; what is no JSON object counts as absent."""
    if not text:
        return {}
    try:
        result = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return {}
    return storable(result) if isinstance(result, Mapping) else {}


def _finite(number: str) -> float | None:
    """Read a number; what is none, or too large for one, is unknown."""
    value = float(number)
    return value if math.isfinite(value) else None


def facet(value: object) -> str:
    """Give a facet's value: text cut to 64 characters, or empty for anything else (07 §5.1)."""
    return storable_text(value)[:FACET_LENGTH] if isinstance(value, str) else ""


def storable_text(text: str) -> str:
    """Drop the characters that PostgreSQL can not store."""
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
