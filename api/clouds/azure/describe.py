"""Get: what Azure says, as it says it; one function for each request of spec 06 §3.

Lists come entry by entry, so that a large subscription is never held as a whole; the order of calls
is that of the iteration. All raise ``AzureBusyError`` or ``AzureRefusedError``.
"""

from collections.abc import Iterator
from typing import Any

from api.clouds.azure import errors
from api.clouds.azure.client import (
    Answer,
    compute,
    delegations,
    entries,
    has_finished,
    listed,
    visible,
)

_SUBSCRIPTIONS = "2021-01-01"
_COMPUTE = "2022-08-01"
_SKUS = "2021-07-01"
_SERVICES = "2020-02-01-preview"

Entry = Any
"""What should be a JSON object: the SDK's models are such, with Azure's own names as keys and with
whatever Azure sent as values. ``api.clouds.azure.transform`` finds out."""


def subscriptions() -> Iterator[Entry]:
    """List the subscriptions that are delegated to us (S1)."""
    return entries(lambda: visible(_SUBSCRIPTIONS).subscriptions.list())


def machines(subscription_id: str) -> Iterator[Entry]:
    """List all virtual machines outside of scale sets, without their states (V1)."""
    return entries(lambda: compute(subscription_id).virtual_machines.list_all(api_version=_COMPUTE))


def machine_states(subscription_id: str) -> Iterator[Entry]:
    """List the instance views of the same machines, in an order of Azure's own (V2)."""
    return entries(
        lambda: compute(subscription_id).virtual_machines.list_all(
            status_only="true", api_version=_COMPUTE
        )
    )


def scale_sets(subscription_id: str) -> Iterator[Entry]:
    """List the scale sets (V3)."""
    return entries(
        lambda: compute(subscription_id).virtual_machine_scale_sets.list_all(api_version=_COMPUTE)
    )


def scale_set_machines(subscription_id: str, resource_group: str, name: str) -> Iterator[Entry]:
    """List the machines of one scale set with their states (V4)."""
    return entries(
        lambda: compute(subscription_id).virtual_machine_scale_set_vms.list(
            resource_group, name, expand="instanceView", api_version=_COMPUTE
        )
    )


def image_versions(
    subscription_id: str, *, location: str, publisher: str, offer: str, sku: str
) -> Any:
    """Return the versions of an image of the marketplace (I1), which should be a list."""
    with errors.translated():
        return compute(subscription_id).virtual_machine_images.list(
            location,
            publisher,
            offer,
            sku,
            expand="properties",
            api_version=_COMPUTE,
            answer=Answer.ARRAY,
        )


def skus(subscription_id: str) -> Iterator[Entry]:
    """List what the subscription may buy, sizes of virtual machines among it (K1)."""
    return entries(lambda: compute(subscription_id).resource_skus.list(api_version=_SKUS))


def assignments(subscription_id: str) -> Iterator[Entry]:
    """List the assignments of Lighthouse offers, with their definitions (L1)."""
    path = f"/{_scope(subscription_id)}/providers/Microsoft.ManagedServices/registrationAssignments"
    query = {"$expandRegistrationDefinition": "true", "api-version": _SERVICES}
    return entries(lambda: listed(path, **query))


def delete_assignment(subscription_id: str, name: str) -> bool:
    """Delete an assignment (L2); tell whether Azure finished to do so while we waited."""
    return has_finished(
        lambda **options: delegations(_SERVICES).registration_assignments.begin_delete(
            _scope(subscription_id), name, **options
        )
    )


def _scope(subscription_id: str) -> str:
    return f"subscriptions/{subscription_id}"
