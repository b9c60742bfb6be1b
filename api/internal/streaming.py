"""Pages of rows that are too large to be in memory together (README decisions 38, 43)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from django.http import StreamingHttpResponse
from rest_framework.request import Request


def stream_page(
    request: Request, envelope: Mapping[str, Any], items: Iterable[Any]
) -> StreamingHttpResponse:
    """Answer as with ``items`` as the member ``data`` of the envelope, one item at a time."""
    renderer = request.accepted_renderer
    return StreamingHttpResponse(
        _pieces(request, envelope, items), content_type=renderer.media_type
    )


def _pieces(request: Request, envelope: Mapping[str, Any], items: Iterable[Any]) -> Iterator[bytes]:
    def render(data: Any) -> bytes:
        # The media type tells how far lines are indented.
        rendered: Any = request.accepted_renderer.render(data, request.accepted_media_type, {})
        return rendered

    place = uuid4().hex
    before, _, after = render({**envelope, "data": [place]}).partition(f'"{place}"'.encode())
    opening = before.rstrip()
    line_break = before.removeprefix(opening)
    """Empty where the answer is not indented, and then items have no lines either."""
    yield opening
    for number, item in enumerate(items):
        comma = b"," if number else b""
        yield comma + line_break + render(item).replace(b"\n", line_break)
    yield after
