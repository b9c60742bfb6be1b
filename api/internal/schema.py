"""How the internal routes appear in the OpenAPI document (spec 02 §10)."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from api.public.components import Error
from api.public.schema import SECURITY

TAG = "api"

_ERRORS = {
    "description": "For each wrong member or parameter what is wrong, or just what is wrong.",
    "oneOf": [
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": {"type": "string"}},
    ],
}

_VERBS = {
    "list": "list",
    "retrieve": "retrieve",
    "create": "create",
    "update": "update",
    "partial_update": "partialUpdate",
    "destroy": "destroy",
}

_REFUSALS = {
    "list": (400, 403, 404),
    "retrieve": (400, 403, 404),
    "create": (400, 403, 404, 415),
    "update": (400, 403, 404, 415),
    "partial_update": (400, 403, 404, 415),
    "destroy": (400, 403, 404),
}


class ResourceSchema(AutoSchema):
    """Names the operations of a resource after its model, and tells how they can fail."""

    def get_operation_id(self) -> str:
        """Name the operation: ``listRuns``, ``retrieveRun``."""
        action, model = self.view.action, self.view.resource.model
        verb = _VERBS.get(action, action)
        return f"{verb}{model}s" if action == "list" else f"{verb}{model}"

    def get_tags(self) -> list[str]:
        """Put all into one group."""
        return [TAG]

    def get_auth(self) -> list[dict[str, Any]]:
        """Tell that nobody has to say who is calling, unless it is a customer's business."""
        named = bool(self.view.get_authenticators()[0].tenant_required)
        return list(SECURITY) if named else [*SECURITY, {}]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        responses = super()._get_response_bodies(direction)
        for status in _REFUSALS.get(self.view.action, (400, 403, 404, 415)):
            serializer = _ERRORS if status == 400 else Error
            responses.setdefault(str(status), self._get_response_for_code(serializer, str(status)))
        return responses
