"""How the internal routes appear in the OpenAPI document (spec 02 §10)."""

import re
from typing import Any

from drf_spectacular.utils import OpenApiResponse

from api.public.components import Error
from api.public.samples import SampleSchema
from api.public.schema import SECURITY
from api.public.tags import INTERNAL

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

_SUMMARIES = {
    "list": "List {many}",
    "retrieve": "Retrieve one {one}",
    "create": "Create one {one}",
    "update": "Change one {one}",
    "partial_update": "Change members of one {one}",
    "destroy": "Delete one {one}",
    "reinspect": "Inspect one {one} again",
}

_CLOUDS = {"Aws": "AWS", "Azure": "Azure"}

_REFUSED_WITH_BODY = ("create", "update", "partial_update")


def _words(model: str) -> str:
    words = re.findall("[A-Z][a-z]*", model)
    return " ".join(_CLOUDS.get(word, word.lower()) for word in words)


class ResourceSchema(SampleSchema):
    """Names the operations of a resource after its model, and tells how they can fail."""

    view: Any

    def get_operation_id(self) -> str:
        """Name the operation: ``listRuns``, ``retrieveRun``."""
        action, model = self.view.action, self.view.resource.model
        name = f"{_VERBS.get(action, action)}{model}"
        return f"{name}s" if action == "list" else name

    def get_summary(self) -> str:
        """Say in a few words what the operation does to which rows."""
        one = _words(self.view.resource.model)
        many = re.sub("([^aeiou])y$", r"\1ie", one) + "s"
        return _SUMMARIES[self.view.action].format(one=one, many=many)

    def get_description(self) -> str:  # type: ignore[override] # as drf-spectacular has it
        """Say more; of a list, which rows it has."""
        if self.view.action == "list":
            return f"Return a page of the rows of `{self.view.resource.name}`, oldest first."
        return super().get_description()

    def get_tags(self) -> list[str]:
        """Put all into one group."""
        return [INTERNAL]

    def get_auth(self) -> list[dict[str, Any]]:
        """Document that nobody has to say who is calling, unless it is a customer's business."""
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
