"""Both OpenAPI documents read like a manual: all is named, described and shown by example.

Operations issue, item 2.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS30ReadValidator

from api.internal import openapi
from api.public import members, schema
from api.public.samples import example_of
from util.pagination import DEFAULT_LIMIT, MAX_LIMIT

DOCUMENTS = {"public": schema.document(), "internal": openapi.document()}
OPERATIONS = [
    pytest.param(document, operation, id=f"{name}-{operation['operationId']}")
    for name, document in DOCUMENTS.items()
    for operations in document["paths"].values()
    for operation in operations.values()
]
COMPONENTS = [
    pytest.param(document["components"]["schemas"], name, id=f"{kind}-{name}")
    for kind, document in DOCUMENTS.items()
    for name in document["components"]["schemas"]
]


@pytest.mark.parametrize(("document", "operation"), OPERATIONS)
def test_operations_are_named_described_and_grouped(document, operation):
    assert operation["summary"].strip()
    assert operation["description"].strip()
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert operation["tags"]
    assert all(described[tag] for tag in operation["tags"])


@pytest.mark.parametrize(("document", "operation"), OPERATIONS)
def test_parameters_are_described(document, operation):
    assert all(each["description"].strip() for each in operation.get("parameters", ()))


@pytest.mark.parametrize(("document", "operation"), OPERATIONS)
def test_pages_tell_their_default_and_maximum(document, operation):
    found = {each["name"]: each["schema"] for each in operation.get("parameters", ())}
    if "limit" in found or "offset" in found:
        limit, offset = found["limit"], found["offset"]
        assert (limit["default"], limit["maximum"]) == (DEFAULT_LIMIT, MAX_LIMIT) == (10, 100)
        assert (limit["minimum"], offset["minimum"], offset["default"]) == (1, 0, 0)
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    if "links" in answer.get("schema", {}).get("properties", {}):
        assert {"limit", "offset"} <= found.keys()


@pytest.mark.parametrize(("schemas", "name"), COMPONENTS)
def test_members_are_described(schemas, name):
    """Each says what it is, or is a component."""
    described = members.members({name: schemas[name]})
    silent = [
        member
        for _, member, schema in described
        if not (schema.get("description", "").strip() or members.refers(schema))
    ]
    assert silent == []


def sample(schemas: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Compose an example as the pages do. Raises KeyError where there is nothing to show."""
    if "example" in schema:
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("allOf", "oneOf", "anyOf"):
        if word in schema:
            return sample(schemas, schema[word][0])
    if "$ref" in schema:
        return sample(schemas, schemas[schema["$ref"].rpartition("/")[2]])
    if schema["type"] == "array":
        return [sample(schemas, schema["items"])]
    return {name: sample(schemas, each) for name, each in schema["properties"].items()}


@pytest.mark.parametrize(("schemas", "name"), COMPONENTS)
def test_components_have_an_example_that_is_valid(schemas, name):
    whole = {**schemas[name], "components": {"schemas": schemas}}
    OAS30ReadValidator(whole).validate(sample(schemas, schemas[name]))


def uri_references(node: Any) -> Iterator[dict[str, Any]]:
    """Find the schemas of links, however deep they are."""
    if isinstance(node, dict):
        if node.get("format") == "uri-reference":
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from uri_references(child)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_look_like_ours(name):
    """Without an example the pages make up ``../dictionary``."""
    links = list(uri_references(DOCUMENTS[name]))
    assert links
    assert all(link["example"].startswith("/api/cloudigrade/") for link in links)


@pytest.mark.parametrize(
    ("name", "described", "example"),
    [
        ("created_at", {"type": "string", "format": "date-time"}, "2026-11-02T09:30:00Z"),
        ("vcpu", {"type": "string", "format": "decimal"}, "4.00"),
        ("vcpu", {"type": "integer"}, 2),
        ("anything", {"type": "integer"}, 1),
        ("anything", {"type": "boolean"}, True),
        ("region", {"type": "string"}, "us-east-1"),
        ("anything", {"type": "string"}, None),
        ("region", {"type": "string", "example": "here"}, None),
        ("cloud_type", {"$ref": "#/components/schemas/CloudTypeEnum"}, None),
        ("gaps", {"type": "array", "items": {"$ref": "#/components/schemas/CoverageGap"}}, None),
    ],
)
def test_examples_of_members(name, described, example):
    assert example_of(name, described) == example


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_nothing_is_left_as_generators_leave_it(document):
    """No group ``default``, and no sample that leads nowhere."""
    assert "default" not in {tag["name"] for tag in document["tags"]}
    assert "../dictionary" not in str(document)


def test_no_meaning_is_left_over():
    used = {
        name
        for document in DOCUMENTS.values()
        for _, name, _ in members.members(document["components"]["schemas"])
    }
    assert sorted(members.MEANINGS.keys() - used) == []
