"""Tags on what inspections make in our own account, by which a sweep finds what was left over."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

ENVIRONMENT = "cloudigrade-environment"
AMI = "cloudigrade-image"
ATTEMPT = "cloudigrade-attempt"
SOURCE = "cloudigrade-source-snapshot"
COPY = "cloudigrade-snapshot-copy"


def specification(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the tags of a resource that is about to be made."""
    mine = {ENVIRONMENT: settings.CLOUDIGRADE_ENVIRONMENT, **tags}
    return {
        "ResourceType": kind,
        "Tags": [{"Key": key, "Value": value} for key, value in mine.items()],
    }


def ours() -> dict[str, Any]:
    """Return the filter for whatever this environment has made."""
    return {"Name": f"tag:{ENVIRONMENT}", "Values": [settings.CLOUDIGRADE_ENVIRONMENT]}


def value_of(resource: Mapping[str, Any], key: str) -> str:
    """Return the value of a described resource's tag, or an empty text."""
    tags = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
    return str(tags.get(key, ""))
