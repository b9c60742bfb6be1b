"""Get: what Azure says, as it says it; one function for each request of spec 06 §3.

Lists come entry by entry, so that a large subscription is never held as a whole; the order of calls
is that of the iteration. All raise ``AzureBusyError`` or ``AzureRefusedError``.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote

from api.clouds.azure.client import resource_manager

_SUBSCRIPTIONS = "2021-01-01"
_COMPUTE = "2022-08-01"
_SKUS = "2021-07-01"
_SERVICES = "2020-02-01-preview"

_ASSIGNMENTS = "providers/Microsoft.ManagedServices/registrationAssignments"

Entry = Any
"""What should be a JSON object; ``api.clouds.azure.transform`` finds out."""


def subscriptions() -> Iterator[Entry]:
    """List the subscriptions that are delegated to us (S1)."""
    return _list("/subscriptions", _SUBSCRIPTIONS)


def machines(subscription_id: str) -> Iterator[Entry]:
    """List all virtual machines outside of scale sets, without their states (V1)."""
    return _list(_compute(subscription_id, "virtualMachines"), _COMPUTE)


def machine_states(subscription_id: str) -> Iterator[Entry]:
    """List the instance views of the same machines, in an order of Azure's own (V2)."""
    return _list(_compute(subscription_id, "virtualMachines"), _COMPUTE, statusOnly="true")


def scale_sets(subscription_id: str) -> Iterator[Entry]:
    """List the scale sets (V3)."""
    return _list(_compute(subscription_id, "virtualMachineScaleSets"), _COMPUTE)


def scale_set_machines(subscription_id: str, resource_group: str, name: str) -> Iterator[Entry]:
    """List the machines of one scale set with their states (V4)."""
    group = f"/subscriptions/{subscription_id}/resourceGroups/{_part(resource_group)}"
    scale_set = f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{_part(name)}"
    return _list(f"{scale_set}/virtualMachines", _COMPUTE, **{"$expand": "instanceView"})


def image_versions(
    subscription_id: str, *, location: str, publisher: str, offer: str, sku: str
) -> Any:
    """Return the versions of an image of the marketplace (I1), which should be a list."""
    place = f"locations/{_part(location)}/publishers/{_part(publisher)}/artifacttypes/vmimage"
    image = f"offers/{_part(offer)}/skus/{_part(sku)}/versions"
    return resource_manager().get(
        _compute(subscription_id, f"{place}/{image}"), version=_COMPUTE, **{"$expand": "properties"}
    )


def skus(subscription_id: str) -> Iterator[Entry]:
    """List what the subscription may buy, sizes of virtual machines among it (K1)."""
    return _list(_compute(subscription_id, "skus"), _SKUS)


def assignments(subscription_id: str) -> Iterator[Entry]:
    """List the assignments of Lighthouse offers, with their definitions (L1)."""
    expand = {"$expandRegistrationDefinition": "true"}
    return _list(f"/subscriptions/{subscription_id}/{_ASSIGNMENTS}", _SERVICES, **expand)


def delete_assignment(subscription_id: str, name: str) -> bool:
    """Delete an assignment (L2); tell whether Azure finished to do so while we waited."""
    path = f"/subscriptions/{subscription_id}/{_ASSIGNMENTS}/{_part(name)}"
    return resource_manager().delete(path, version=_SERVICES)


def _list(path: str, version: str, **query: str) -> Iterator[Entry]:
    return chain.from_iterable(resource_manager().pages(path, version=version, **query))


def _compute(subscription_id: str, what: str) -> str:
    return f"/subscriptions/{subscription_id}/providers/Microsoft.Compute/{what}"


def _part(value: str) -> str:
    """Keep a name from becoming more than one part of a path."""
    return quote(value, safe="")
