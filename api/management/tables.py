"""Tables that commands write for people."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GAP = "  "


@dataclass(frozen=True)
class Column:
    """One member of the rows, under a head, at least ``width`` characters wide."""

    name: str
    head: str
    width: int = 0


def head_line(columns: Iterable[Column]) -> str:
    """Return the line with the heads."""
    return GAP.join(f"{column.head:<{column.width}}" for column in columns).rstrip()


def row_line(columns: Iterable[Column], row: Mapping[str, Any]) -> str:
    """Return the line of one row: one line whatever a value holds."""
    cells = (f"{_text(row.get(column.name)):<{column.width}}" for column in columns)
    return GAP.join(cells).rstrip()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return f"{value.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())
