"""A day's stored counts as JSON that names their members, as the APIs and messages show them.

Much the same counts come back every day, thousands of them on a page: so each is written once and
its text is used again.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

MEMBERS = ("arch", "role", "sla", "usage", "service_type", "instances_count")
"""What a number of instances is told for, in the order in which it is stored and shown."""

KNOWN_CHARACTERS = 4 * 1024 * 1024
"""Characters that are kept to be used again, twice: of keys, and of counts."""


class Known(dict[str, str]):
    """What is written once and used again, for a while, whoever it is for."""

    def __init__(self, write: Callable[[str], str]) -> None:
        super().__init__()
        self._write = write
        self._characters = 0

    def __missing__(self, text: str) -> str:
        written = self._write(text)
        self._characters += len(text) + len(written)
        if self._characters > KNOWN_CHARACTERS:
            self.clear()
            self._characters = len(text) + len(written)
        self[text] = written
        return written


def _beginning(values: str) -> str:
    """Return how the entry of a key begins: all but the number."""
    return _written(_entry(json.loads(f"[{values}, 0]"))).removesuffix("0}")


def _whole(count: str) -> str:
    values, _, number = count.rpartition(", ")
    return f"{_beginnings[values]}{number}}}"


_beginnings = Known(_beginning)
"""By the values of a key, as stored JSON."""

_entries = Known(_whole)
"""By a stored count without its brackets. Most of a customer's are those of the day before."""


def named_counts(counts: str) -> str:
    """Return the JSON array of a day's counts, without parsing what is known already.

    ``counts`` are JSON as PostgreSQL writes it, with one blank after each comma:
    ``[[arch, role, sla, usage, service_type, count], ...]``. A value that holds what separates two
    counts tears a string apart, which is no JSON then.
    """
    if counts == "[]":
        return counts
    try:
        return f"[{','.join([_entries[count] for count in counts[2:-2].split('], [')])}]"
    except ValueError:
        return f"[{','.join(_written(_entry(count)) for count in json.loads(counts))}]"


def _entry(count: Sequence[Any]) -> dict[str, Any]:
    """Name the members; raises ValueError if there are not as many."""
    return dict(zip(MEMBERS, count, strict=True))


def _written(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
