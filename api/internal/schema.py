"""How the internal routes appear in the OpenAPI document (spec 02 §10)."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse

from api.public.components import Error
from api.public.schema import SECURITY

TAG = "api"

_VERBS = {"partial_update": "partialUpdate"}

_PROBLEMS = {
    "oneOf": [
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": {"type": "string"}},
    ],
}

_REFUSALS = {
    400: OpenApiResponse(_PROBLEMS, "What is wrong, by member or parameter if it is one of these."),
    403: OpenApiResponse(Error, "The headers are not good enough."),
    404: OpenApiResponse(Error, "There is no such row, or the parameters exclude it."),
    415: OpenApiResponse(Error, "The body is neither JSON nor a form."),
}

_REFUSED_WITH_BODY = ("create", "update", "partial_update")


class ResourceSchema(AutoSchema):
    """Names the operations of a resource after its model, and tells how they can fail."""

    def get_operation_id(self) -> str:
        """Name the operation: ``listRuns``, ``retrieveRun``."""
        action, model = self.view.action, self.view.resource.model
        name = f"{_VERBS.get(action, action)}{model}"
        return f"{name}s" if action == "list" else name

    def get_tags(self) -> list[str]:
        """Put all into one group."""
        return [TAG]

    def get_auth(self) -> list[dict[str, Any]]:
        """Tell that nobody has to say who is calling, unless it is a customer's business."""
        named = self.view.get_authenticators()[0].tenant_required
        return list(SECURITY) if named else [*SECURITY, {}]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        responses = super()._get_response_bodies(direction)
        for status in self._refusals():
            body = self._get_response_for_code(_REFUSALS[status], str(status))
            responses.setdefault(str(status), body)
        return responses

    def _refusals(self) -> list[int]:
        found = [400, 403]
        if self.view.detail:
            found.append(404)
        if self.view.action in _REFUSED_WITH_BODY:
            found.append(415)
        return found
