"""Long columns of values as parameters of a statement.

The driver writes a list as ``ARRAY['a', 'b', ...]``, of which PostgreSQL makes an expression per
element. For thousands of rows an array's literal is four times faster, on both sides.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"'})


def array_literal(values: Iterable[Any]) -> str:
    """Return texts, numbers, days, times or None as the literal of an array of PostgreSQL.

    To be cast where it is used: ``%s::text[]``. Raises TypeError for values of any other type.
    """
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.translate(_ESCAPED) + '"'
    if isinstance(value, date):  # a datetime is one too
        return '"' + value.isoformat() + '"'
    if type(value) in (int, float):
        return repr(value)
    raise TypeError(f"{type(value).__name__} cannot be an element of an array")
