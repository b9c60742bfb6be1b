"""Limit and offset pagination in the form of the Insights platform (spec 01 §5)."""

from typing import Any
from urllib.parse import urlencode

from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


def _link_schema(query: str) -> dict[str, Any]:
    example = f"/api/cloudigrade/v2/instances/?{query}"
    return {"type": "string", "format": "uri-reference", "example": example}


def limit_schema() -> dict[str, Any]:
    """Describe the size of a page for OpenAPI; larger ones are cut, not refused."""
    return {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}


def offset_schema() -> dict[str, Any]:
    """Describe how many rows come before a page for OpenAPI."""
    return {"type": "integer", "minimum": 0, "default": 0}


class InsightsPagination(LimitOffsetPagination):
    """Pages with a ``meta``, ``links`` and ``data`` envelope.

    No value of ``limit`` or ``offset`` is an error.
    """

    default_limit = DEFAULT_LIMIT
    max_limit = MAX_LIMIT
    # Known once a page was asked for, which is before anything else is.
    request: Request
    count: int
    limit: int
    offset: int

    def get_limit(self, request: Request) -> int:
        """Return the page's size: 10 where it makes no sense, 100 at most."""
        limit = _natural(request.query_params.get(self.limit_query_param))
        return min(limit, MAX_LIMIT) if limit else DEFAULT_LIMIT

    def get_offset(self, request: Request) -> int:
        """Return how many rows come before the page: 0 where it makes no sense."""
        return _natural(request.query_params.get(self.offset_query_param))

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the query parameters for OpenAPI."""
        described = (
            (self.limit_query_param, "How many results to return per page.", limit_schema()),
            (
                self.offset_query_param,
                "How many results come before those of the page.",
                offset_schema(),
            ),
        )
        return [
            {"name": name, "required": False, "in": "query", "description": text, "schema": schema}
            for name, text, schema in described
        ]

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page in its envelope."""
        return Response({"meta": {"count": self.count}, "links": self._links(), "data": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the envelope for OpenAPI."""
        return {
            "type": "object",
            "required": ["meta", "links", "data"],
            "properties": {
                "meta": {
                    "type": "object",
                    "required": ["count"],
                    "properties": {"count": {"type": "integer", "example": 123}},
                },
                "links": {
                    "type": "object",
                    "required": ["first", "next", "previous", "last"],
                    "properties": {
                        "first": _link_schema("limit=10&offset=0"),
                        "next": {**_link_schema("limit=10&offset=20"), "nullable": True},
                        "previous": {**_link_schema("limit=10"), "nullable": True},
                        "last": _link_schema("limit=10&offset=113"),
                    },
                },
                "data": schema,
            },
        }

    def _links(self) -> dict[str, str | None]:
        following, preceding = self.offset + self.limit, self.offset - self.limit
        return {
            "first": self._link(0),
            "next": self._link(following) if following < self.count else None,
            "previous": self._link(preceding if preceding > 0 else None)
            if self.offset > 0
            else None,
            "last": self._link(max(self.count - self.limit, 0)),
        }

    def _link(self, offset: int | None) -> str:
        """Return path and query of another page.

        Parameters that are not ours stay, sorted by name.
        """
        query = [
            (name, value)
            for name, values in self.request.query_params.lists()
            if name not in (self.limit_query_param, self.offset_query_param)
            for value in values
        ]
        query.append((self.limit_query_param, str(self.limit)))
        if offset is not None:
            query.append((self.offset_query_param, str(offset)))
        query.sort(key=lambda item: item[0])
        return f"{self.request.path}?{urlencode(query)}"


def _natural(text: str | None) -> int:
    try:
        return max(int(text or 0), 0)
    except ValueError:
        return 0
