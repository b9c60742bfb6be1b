"""The groups of operations in the OpenAPI documents, in the order in which they are read."""

from typing import Any

INVENTORY = "api-v2"
USAGE = "usage"
TRUST = "trust"
BILLING = "billing"
EXPORT = "export"
SETUP = "setup"
INTERNAL = "api"

DESCRIPTIONS = {
    INVENTORY: "Cloud accounts, the instances in them and the images that these were started from.",
    USAGE: "How much RHEL ran at once on each day, how long it was on, and why it counts.",
    TRUST: "How far the numbers can be trusted: gaps, corrections and what changed afterwards.",
    BILLING: "Instances whose RHEL is paid twice, or not at all.",
    EXPORT: "Whole tables as CSV or NDJSON.",
    SETUP: "What a customer needs to connect a cloud account.",
    INTERNAL: "The rows of the service's own tables, for operators.",
}


def used_tags(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return the groups that operations of a document are in, with their descriptions."""
    used = {
        tag
        for operations in document["paths"].values()
        for operation in operations.values()
        for tag in operation.get("tags", ())
    }
    return [
        {"name": name, "description": text} for name, text in DESCRIPTIONS.items() if name in used
    ]
