"""Return a customer's Lighthouse delegation back when the account is gone (spec 06 §2.5)."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api.clouds.azure import describe
from api.clouds.azure.errors import AzureLoginError, AzureRefusedError
from api.clouds.azure.own import is_own_tenant
from api.models import CloudAccount

logger = logging.getLogger(__name__)

SUCCEEDED = "Succeeded"


@dataclass(frozen=True, slots=True)
class Assignment:
    """An offer that was accepted for a subscription."""

    name: str
    managed_by: str | None
    """The tenant that it lets in; None if Azure does not tell."""


def remove_assignment(*, subscription_id: UUID) -> bool:
    """Delete the one assignment that delegates a subscription to us; returns whether it was done.

    Nothing is deleted if there is not exactly one, if it is another tenant's, or if an account has
    the subscription again. Raises ``AzureBusyError``, after which the whole may be repeated; what
    Azure refuses is logged.
    """
    if CloudAccount.objects.filter(subscription_id=subscription_id).exists():
        logger.info("Subscription %s belongs to an account again", subscription_id)
        return False
    assignment = _find(subscription_id)
    if assignment is None:
        return False
    try:
        done = describe.delete_assignment(str(subscription_id), assignment.name)
    except AzureRefusedError as refusal:
        logger.info("Assignment %s stays: %s", assignment.name, refusal)
        return False
    logger.info("Assignment %s of %s is deleted: %s", assignment.name, subscription_id, done)
    return done


def _find(subscription_id: UUID) -> Assignment | None:
    try:
        found = assignments_in(subscription_id, describe.assignments(str(subscription_id)))
    except AzureLoginError as refusal:
        logger.warning("The delegation of %s cannot be looked up: %s", subscription_id, refusal)
        return None
    except AzureRefusedError as refusal:
        logger.error("The delegation of %s cannot be looked up: %s", subscription_id, refusal)
        return None
    if len(found) != 1:
        level = logging.WARNING if found else logging.INFO
        logger.log(level, "Subscription %s has %s assignments", subscription_id, len(found))
        return None
    if found[0].managed_by is not None and not is_own_tenant(found[0].managed_by):
        logger.warning("The assignment of %s is another tenant's", subscription_id)
        return None
    return found[0]


def assignments_in(subscription_id: UUID, entries: Iterable[Any]) -> list[Assignment]:
    """Pick the assignments that hold and are the subscription's own, none inherited. Pure."""
    scope = ["", "subscriptions", str(subscription_id)]
    return [
        Assignment(name=entry["name"], managed_by=_tenant(entry["properties"]))
        for entry in entries
        if isinstance(entry, Mapping)
        and str(entry.get("id")).split("/")[:3] == scope
        and _is_name(entry.get("name"))
        and isinstance(entry.get("properties"), Mapping)
        and entry["properties"].get("provisioningState") == SUCCEEDED
    ]


def _is_name(name: object) -> bool:
    """Check whether a name is one, so that the path of what is deleted leads nowhere else."""
    return isinstance(name, str) and name.strip(".") != ""


def _tenant(properties: Mapping[str, Any]) -> str | None:
    definition = properties.get("registrationDefinition")
    inner = definition.get("properties") if isinstance(definition, Mapping) else None
    tenant = inner.get("managedByTenantId") if isinstance(inner, Mapping) else None
    return tenant if isinstance(tenant, str) else None
