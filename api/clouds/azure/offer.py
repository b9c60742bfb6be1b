"""The Azure Lighthouse offer: how a customer lets us see a subscription (spec 01 §10, 06 §2)."""

from typing import Any

READER_ROLE = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
"""Azure's built-in role Reader."""

GIVE_BACK_ROLE = "91c1777a-f3dc-4fae-b103-61d183457e46"
"""Azure's built-in role that may delete the assignment again, when the account is deleted."""

_SCHEMA = (
    "https://schema.management.azure.com/schemas/2019-08-01/subscriptionDeploymentTemplate.json#"
)
_API_VERSION = "2020-02-01-preview"
_DEFINITIONS = "Microsoft.ManagedServices/registrationDefinitions"
_ASSIGNMENTS = "Microsoft.ManagedServices/registrationAssignments"
_DEFINITION_ID = f"[resourceId('{_DEFINITIONS}/', variables('mspRegistrationName'))]"


def offer_template(*, name: str, tenant_id: str, principal_id: str) -> dict[str, Any]:
    """Return the template that delegates a subscription to the principal of our tenant.

    ``name`` is the offer's, shown to the customer.
    """
    authorizations = [
        {
            "principalId": principal_id,
            "principalIdDisplayName": name,
            "roleDefinitionId": role,
        }
        for role in (READER_ROLE, GIVE_BACK_ROLE)
    ]
    return {
        "$schema": _SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {
            "mspOfferName": _constant(name),
            "mspOfferDescription": _constant(""),
            "managedByTenantId": _constant(tenant_id),
            "authorizations": _constant(authorizations),
        },
        "variables": {
            "mspRegistrationName": "[guid(parameters('mspOfferName'))]",
            "mspAssignmentName": "[guid(parameters('mspOfferName'))]",
        },
        "resources": [
            {
                "type": _DEFINITIONS,
                "apiVersion": _API_VERSION,
                "name": "[variables('mspRegistrationName')]",
                "properties": {
                    "registrationDefinitionName": "[parameters('mspOfferName')]",
                    "description": "[parameters('mspOfferDescription')]",
                    "managedByTenantId": "[parameters('managedByTenantId')]",
                    "authorizations": "[parameters('authorizations')]",
                },
            },
            {
                "type": _ASSIGNMENTS,
                "apiVersion": _API_VERSION,
                "name": "[variables('mspAssignmentName')]",
                "dependsOn": [_DEFINITION_ID],
                "properties": {"registrationDefinitionId": _DEFINITION_ID},
            },
        ],
        "outputs": {
            "mspOfferName": {
                "type": "string",
                "value": "[concat('Managed by', ' ', parameters('mspOfferName'))]",
            },
            "authorizations": {"type": "array", "value": "[parameters('authorizations')]"},
        },
    }


def _constant(value: str | list[dict[str, str]]) -> dict[str, Any]:
    """Make a parameter that can have one value only."""
    kind = "string" if isinstance(value, str) else "array"
    return {"type": kind, "defaultValue": value, "allowedValues": [value]}
