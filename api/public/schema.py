"""The OpenAPI document of the public API (spec 01 §11), generated from its views."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.serializers import Serializer

from api.models import CloudType, MachineImage
from api.public import components, members
from api.public.brackets import SHORTEST_SEARCH, BracketParameters, Field
from api.public.instance_fields import IMAGE_BRACKETS, INSTANCE_BRACKETS
from api.public.tags import used_tags
from util.identity import (
    IDENTITY_HEADER,
    PSK_ACCOUNT_NUMBER_HEADER,
    PSK_HEADER,
    PSK_ORG_ID_HEADER,
)
from util.pagination import limit_schema, offset_schema

OPENAPI_VERSION = "3.0.2"
TITLE_SERVED = "Cloudigrade"
TITLE_KEPT = "Cloudigrade public API v2"
"""The title of the copy at the root of the repository."""

_PUBLIC_URLS = "api.public.urls"


def _header(name: str, description: str) -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": name, "description": description}


SECURITY_SCHEMES = {
    "identity": _header(IDENTITY_HEADER, "Base64 of the platform's identity as JSON."),
    "psk": _header(PSK_HEADER, "Pre-shared key of a calling service."),
    "pskAccountNumber": _header(
        PSK_ACCOUNT_NUMBER_HEADER, "Account number that the service acts for."
    ),
    "pskOrgId": _header(PSK_ORG_ID_HEADER, "Org id that the service acts for."),
}
SECURITY: list[dict[str, list[str]]] = [
    {"identity": []},
    {"psk": [], "pskOrgId": []},
    {"psk": [], "pskAccountNumber": []},
]
"""The headers that do: an identity, or a key with either number (spec 01 §2)."""

_FIELD_ERRORS = {
    "type": "object",
    "description": "For each wrong parameter what is wrong with it.",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}

_REASONS = {
    400: "A parameter is wrong.",
    403: "The headers do not name a customer that is known.",
    404: "There is no such object of the customer, or the parameters exclude it.",
    406: "JSON is not accepted.",
    425: "A day of the page is not calculated yet.",
}


def query(name: str, description: str, kind: Any = str, **more: Any) -> OpenApiParameter:
    """Describe an optional query parameter."""
    return OpenApiParameter(name, kind, description=description, **more)


def brackets(parameters: BracketParameters) -> list[OpenApiParameter]:
    """Describe the bracket parameters of a route, one object for each word before the brackets."""
    fields = parameters.fields
    filters = {field.name: _values(field) for field in fields}
    if parameters.contains:
        filters |= {
            f"contains:{field.name}": _text(f"Part of {field.name}, in any case.")
            for field in fields
            if field.has_text
        }
    if parameters.searches:
        filters["search"] = {
            **_text("Part of a name or an id, in any case."),
            "minLength": SHORTEST_SEARCH,
        }
    direction = {"type": "string", "enum": ["asc", "desc"]}
    described = [_bracket("filter", "Only rows with one of these values.", filters)]
    if parameters.excludes:
        excluded = {field.name: _values(field) for field in fields}
        described.append(_bracket("exclude", "Only rows with none of these values.", excluded))
    if parameters.orders:
        orders = {field.name: direction for field in fields}
        described.append(_bracket("order_by", "Sort by one field.", orders, most=1))
    if parameters.groups:
        groups = {name: {"type": "string", "enum": ["*"]} for name in parameters.groups}
        most = parameters.most_groups
        described.append(_bracket("group_by", "Add up by these fields.", groups, most=most))
    return described


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _values(field: Field) -> dict[str, Any]:
    described = f"{field.description} Several values, separated by commas, mean any of them."
    return {**_text(described), "example": field.example}


def _bracket(
    name: str, description: str, members: dict[str, Any], most: int | None = None
) -> OpenApiParameter:
    described = {"type": "object", "properties": members, "additionalProperties": False}
    if most:
        described["maxProperties"] = most
    return OpenApiParameter(
        name, described, description=description, style="deepObject", explode=True
    )


ID = OpenApiParameter(
    "id", str, OpenApiParameter.PATH, description="The object's id, as lists show it."
)
ACCOUNT_FILTERS = [
    query("cloud_type", "Only accounts of this cloud.", enum=CloudType.values),
    query("is_enabled", "Only accounts that are metered now, or are not.", bool),
]
INSTANCE_FILTERS = [
    query(
        "running_since",
        "Only instances that have run without a break since this ISO 8601 date-time.",
    ),
    query("cloud_account_id", "Only instances in this account.", int),
    query("machine_image_id", "Only instances of this image.", int),
]
IMAGE_FILTERS = [
    query("architecture", "Only images for this architecture."),
    query("status", "Only images of this status.", enum=MachineImage.Status.values),
    query("rhel_detected", "Only images that count as RHEL, or do not.", bool),
]
INSTANCE_LIST = [
    *brackets(INSTANCE_BRACKETS),
    query(
        "include",
        "Words, separated by commas: what to tell of each, and of all.",
        enum=["state", "facets", "state,facets"],
    ),
]
IMAGE_LIST = [*brackets(IMAGE_BRACKETS), query("include", "What to tell of all.", enum=["facets"])]
RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    description="Seconds after which to try again.",
    response=[425],
)
DAYS = [
    query("start_date", "First day: by default yesterday.", OpenApiTypes.DATE),
    query("end_date", "Day after the last day: by default today.", OpenApiTypes.DATE),
]

DAYS_OF_RUNS = [
    query("start_date", "First day: by default that of the first run.", OpenApiTypes.DATE),
    query("end_date", "Day after the last day: by default none.", OpenApiTypes.DATE),
]
INCLUDE_QUALITY = query(
    "include", "`quality`: tell of each day how far its numbers can be trusted."
)

EXPLAINED_KEY = [
    query("date", "The day: by default yesterday.", OpenApiTypes.DATE),
    query("limit", "How many of the runs to list.", limit_schema()),
    query("offset", "How many of the runs to leave out.", offset_schema()),
    *(
        query(name, f"Only this {text}; empty for those where it is unknown. By default all.")
        for name, text in (
            ("arch", "architecture"),
            ("role", "role"),
            ("sla", "service level"),
            ("usage", "usage"),
            ("service_type", "service type"),
        )
    ),
]


def failures(statuses: Iterable[int]) -> dict[int, OpenApiResponse]:
    """Describe the answers to requests that fail, by status."""
    return {
        status: OpenApiResponse(
            _FIELD_ERRORS if status == 400 else components.Error, description=_REASONS[status]
        )
        for status in sorted(statuses)
    }


def operation(
    operation_id: str,
    answer: Serializer | dict[str, Any],
    *,
    summary: str,
    description: str,
    tag: str,
    parameters: Sequence[OpenApiParameter] = (),
    errors: Sequence[int] = (),
    security: Sequence[Any] = SECURITY,
) -> Callable:
    """Describe a view's GET: decorate the method with it."""
    responses: dict[Any, Any] = {200: answer, **failures({*errors, 406})}
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=[tag],
        parameters=list(parameters),
        responses=responses,
        auth=list(security),
    )


@cache
def document() -> dict[str, Any]:
    """Return the document as it is served."""
    return finish(SchemaGenerator(urlconf=_PUBLIC_URLS).get_schema(public=True), TITLE_SERVED)


def document_to_keep() -> dict[str, Any]:
    """Return the copy that is kept in the repository; it differs by its title only."""
    return with_title(document(), TITLE_KEPT)


def with_title(document: dict[str, Any], title: str) -> dict[str, Any]:
    """Return a document with another title."""
    return {**document, "info": {**document["info"], "title": title}}


def finish(document: dict[str, Any], title: str) -> dict[str, Any]:
    """Complete a generated document: its head, its tags and the envelopes of pages."""
    schemas = document["components"]["schemas"]
    pages = {
        f"#/components/schemas/{name}": schemas.pop(name)
        for name in list(schemas)
        if name.startswith("Paginated")
    }
    for operations in document["paths"].values():
        for details in operations.values():
            for response in details["responses"].values():
                for content in response.get("content", {}).values():
                    reference = content["schema"].get("$ref")
                    content["schema"] = pages.get(reference, content["schema"])
    members.describe(schemas)
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    return {
        **document,
        "openapi": OPENAPI_VERSION,
        "info": {"title": title, "version": ""},
        "tags": used_tags(document),
    }
