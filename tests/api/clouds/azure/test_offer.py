"""The Lighthouse offer template, member by member (spec 01 §10)."""

import json

from api.clouds.azure.offer import offer_template

AUTHORIZATIONS = [
    {
        "principalId": "SP",
        "principalIdDisplayName": "NAME",
        "roleDefinitionId": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    },
    {
        "principalId": "SP",
        "principalIdDisplayName": "NAME",
        "roleDefinitionId": "91c1777a-f3dc-4fae-b103-61d183457e46",
    },
]

EXPECTED = """
{"$schema": "https://schema.management.azure.com/schemas/2019-08-01/subscriptionDeploymentTemplate.json#",
 "contentVersion": "1.0.0.0",
 "parameters": {
  "mspOfferName": {"type": "string", "defaultValue": "NAME", "allowedValues": ["NAME"]},
  "mspOfferDescription": {"type": "string", "defaultValue": "", "allowedValues": [""]},
  "managedByTenantId": {"type": "string", "defaultValue": "TENANT", "allowedValues": ["TENANT"]},
  "authorizations": {"type": "array", "defaultValue": AUTHORIZATIONS, "allowedValues": [AUTHORIZATIONS]}},
 "variables": {"mspRegistrationName": "[guid(parameters('mspOfferName'))]",
               "mspAssignmentName": "[guid(parameters('mspOfferName'))]"},
 "resources": [
  {"type": "Microsoft.ManagedServices/registrationDefinitions", "apiVersion": "2020-02-01-preview",
   "name": "[variables('mspRegistrationName')]",
   "properties": {"registrationDefinitionName": "[parameters('mspOfferName')]",
                  "description": "[parameters('mspOfferDescription')]",
                  "managedByTenantId": "[parameters('managedByTenantId')]",
                  "authorizations": "[parameters('authorizations')]"}},
  {"type": "Microsoft.ManagedServices/registrationAssignments", "apiVersion": "2020-02-01-preview",
   "name": "[variables('mspAssignmentName')]",
   "dependsOn": ["[resourceId('Microsoft.ManagedServices/registrationDefinitions/', variables('mspRegistrationName'))]"],
   "properties": {"registrationDefinitionId": "[resourceId('Microsoft.ManagedServices/registrationDefinitions/', variables('mspRegistrationName'))]"}}],
 "outputs": {
  "mspOfferName": {"type": "string", "value": "[concat('Managed by', ' ', parameters('mspOfferName'))]"},
  "authorizations": {"type": "array", "value": "[parameters('authorizations')]"}}}
""".replace("AUTHORIZATIONS", json.dumps(AUTHORIZATIONS))  # noqa: E501


def test_template():
    template = offer_template(name="NAME", tenant_id="TENANT", principal_id="SP")
    assert template == json.loads(EXPECTED)
