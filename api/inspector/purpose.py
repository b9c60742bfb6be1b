"""The purpose that a customer gave a system (spec 05 §9)."""

import json
from typing import Any, NoReturn

from api.inspector.errors import UnreadableError
from api.inspector.limits import MAX_SYSPURPOSE
from api.inspector.tree import Tree

PATH = "/etc/rhsm/syspurpose/syspurpose.json"
MAX_DEPTH = 20


def read_purpose(tree: Tree) -> tuple[str | None, Any]:
    """Return the text of syspurpose.json, and what it says; both None if it is not there.

    What is blank, too long, or no JSON is noted.
    """
    data = tree.read(PATH, MAX_SYSPURPOSE)
    if data is None:
        return None, None
    text = data.decode("utf-8", "replace")
    if not text.strip():
        return text, None
    try:
        purpose = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        _check_depth(purpose, MAX_DEPTH)
    except (ValueError, RecursionError, UnreadableError) as error:
        tree.notes.add(PATH, f"no JSON: {error}")
        return text, None
    return text, purpose


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _refuse(text)


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise UnreadableError(f"it is more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_depth(one, left - 1)
