"""Requests and answers as reStructuredText; the requests are for the command ``http`` of HTTPie."""

import json
import textwrap
from collections.abc import Mapping
from http.client import responses
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TEST_HOST = "testserver"
SHOWN_HOST = "localhost:8080"

_CONTINUED = " \\\n    "


def code_block(text: str, language: str = "") -> str:
    """Write a block of code, without blank lines around it."""
    head = f".. code:: {language}" if language else "::"
    return f"{head}\n\n{textwrap.indent(text, '    ')}"


def request_text(
    method: str, path: str, *, headers: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> str:
    """Write the command that sends a request; headers are taken from variables of the shell."""
    where = urlsplit(path)
    verb = "" if method == "GET" else f"{method.lower()} "
    parts = [f"http {verb}{SHOWN_HOST}{where.path}"]
    parts += [
        f'{name}=="{value}"' for name, value in parse_qsl(where.query, keep_blank_values=True)
    ]
    parts += [_member(name, value) for name, value in (body or {}).items()]
    parts += [
        f'"{name}:${{HTTP_{name.replace("-", "_")}}}"'
        for name in sorted(headers)
        if name.startswith("X-")
    ]
    return _CONTINUED.join(parts)


def _member(name: str, value: Any) -> str:
    if isinstance(value, str):
        return f'{name}="{value}"'
    return f"{name}:={json.dumps(value)}"


def response_text(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Write an answer: its status, its headers by name, and its body if there is one."""
    lines = [f"HTTP/1.1 {status} {responses[status]}"]
    lines += [f"{name}: {headers[name]}" for name in sorted(headers)]
    text = body.decode()
    if headers.get("Content-Type", "").endswith("json") and text:
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=4, sort_keys=True)
    if text:
        lines += ["", text]
    return "\n".join(lines).replace(TEST_HOST, SHOWN_HOST)
