"""JSON as it goes over the wire (spec 01 §1.1)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer
from rest_framework.utils.encoders import JSONEncoder


def compact_json(data: Any) -> str:
    """Write data as JSON without blanks, and without escapes of what is not ASCII."""
    return json.dumps(
        data, cls=JSONEncoder, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


class Fragment(str):
    """JSON text that needs no rendering any more."""

    __slots__ = ()


def _text(value: Any) -> str:
    return value if isinstance(value, Fragment) else compact_json(value)


class CompactJSONRenderer(BaseRenderer):
    """Compact JSON in UTF-8. Members of the outermost object may be fragments."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body's bytes."""
        if data is None:
            return b""
        if not isinstance(data, dict):
            return compact_json(data).encode()
        members = (f"{compact_json(name)}:{_text(value)}" for name, value in data.items())
        return f"{{{','.join(members)}}}".encode()


def stream_json(document: Mapping[str, Any], member: str, items: Iterable[Any]) -> Iterator[bytes]:
    """Yield a JSON object of which one member, the last, is an array that is written item by item.

    ``document`` has the other members, and maybe this one, which is not looked at.
    Items may be fragments.
    """
    others = {name: value for name, value in document.items() if name != member}
    yield f"{compact_json(others)[:-1]},{compact_json(member)}:[".encode()
    for number, item in enumerate(items):
        yield f"{',' if number else ''}{_text(item)}".encode()
    yield b"]}"


class OpenAPIRenderer(CompactJSONRenderer):
    """The same as an OpenAPI document."""

    media_type = "application/vnd.oai.openapi+json"
