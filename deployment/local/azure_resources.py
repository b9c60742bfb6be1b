"""Resources of Azure as its resource manager shows them, for the fake one.

Each function makes one resource from what matters about it; ``**more`` are further properties.
"""

import uuid
from typing import Any

Json = dict[str, Any]

RESOURCE_GROUP = "RG1"
LOCATION = "eastus"
SIZE = "Standard_B1s"
RHEL_IMAGE: Json = {
    "publisher": "RedHat",
    "offer": "RHEL",
    "sku": "82gen2",
    "version": "latest",
    "exactVersion": "8.2.2022031402",
}

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


def machine_id(subscription_id: object, name: str) -> str:
    """Return the resource id of a virtual machine in the usual resource group."""
    return f"{_compute(subscription_id)}/virtualMachines/{name}"


def scale_set_machine_id(subscription_id: object, scale_set: str, number: int) -> str:
    """Return the resource id of one machine of a scale set in the usual resource group."""
    scale_sets = f"{_compute(subscription_id)}/virtualMachineScaleSets"
    return f"{scale_sets}/{scale_set}/virtualMachines/{number}"


def _compute(subscription_id: object) -> str:
    group = f"/subscriptions/{subscription_id}/resourceGroups/{RESOURCE_GROUP}"
    return f"{group}/providers/Microsoft.Compute"


def machine(
    resource_id: str,
    *,
    power: str | None = "running",
    size: str | None = SIZE,
    image: Json | None = RHEL_IMAGE,
    tags: Json | None = None,
    plan: Json | None = None,
    **more: Any,
) -> Json:
    """Make a virtual machine; ``power`` is the last part of its power state, None is without one.

    ``image`` is the ``imageReference``, None for a machine from a disk of its own.
    """
    statuses = [{"code": "ProvisioningState/succeeded"}]
    if power is not None:
        statuses.append({"code": f"PowerState/{power}"})
    storage: Json = {"osDisk": {"osType": "Linux"}}
    if image is not None:
        storage["imageReference"] = image
    content: Json = {
        "id": resource_id,
        "name": resource_id.rpartition("/")[2],
        "type": "Microsoft.Compute/virtualMachines",
        "location": LOCATION,
        "properties": {
            "vmId": str(uuid.uuid5(_NAMESPACE, resource_id.lower())),
            "storageProfile": storage,
            "instanceView": {"statuses": statuses},
            **({"hardwareProfile": {"vmSize": size}} if size is not None else {}),
            **more,
        },
    }
    if tags is not None:
        content["tags"] = tags
    if plan is not None:
        content["plan"] = plan
    return content


def scale_set(
    name: str, *machines: Json, resource_group: str = RESOURCE_GROUP, mode: str = "Uniform"
) -> Json:
    """Make a scale set with its machines; ``mode`` is its ``orchestrationMode``."""
    members = list(machines)
    return {"resource_group": resource_group, "name": name, "mode": mode, "machines": members}


def image_versions(
    *architectures: str | None,
    location: str = LOCATION,
    publisher: str = "RedHat",
    offer: str = "RHEL",
    sku: str = "82gen2",
) -> Json:
    """Make an image of the marketplace with one version for each architecture; None: not told."""
    versions = [
        {
            "name": f"8.2.{number}",
            "location": location,
            "properties": {} if architecture is None else {"architecture": architecture},
        }
        for number, architecture in enumerate(architectures)
    ]
    place = {"location": location, "publisher": publisher, "offer": offer, "sku": sku}
    return {**place, "versions": versions}


def size(name: str, *, resource_type: str = "virtualMachines", **capabilities: object) -> Json:
    """Make an entry of the list of SKUs, like ``size("Standard_A5", vCPUs=2, MemoryGB=14)``."""
    return {
        "resourceType": resource_type,
        "name": name,
        "tier": "Standard",
        "locations": [LOCATION],
        "locationInfo": [{"location": LOCATION, "zones": []}],
        "capabilities": [
            {"name": capability, "value": str(value)} for capability, value in capabilities.items()
        ],
        "restrictions": [],
    }


def assignment(
    subscription_id: object,
    name: str,
    *,
    state: str = "Succeeded",
    managed_by: str | None = None,
) -> Json:
    """Make an assignment of a Lighthouse offer; ``managed_by`` is the tenant of its definition."""
    services = f"/subscriptions/{subscription_id}/providers/Microsoft.ManagedServices"
    properties: Json = {
        "provisioningState": state,
        "registrationDefinitionId": f"{services}/registrationDefinitions/{name}",
    }
    if managed_by is not None:
        properties["registrationDefinition"] = {"properties": {"managedByTenantId": managed_by}}
    return {
        "id": f"{services}/registrationAssignments/{name}",
        "name": name,
        "type": "Microsoft.ManagedServices/registrationAssignments",
        "properties": properties,
    }
