"""A day's stored counts as JSON that names their members, as the APIs and messages show them.

Much the same keys come back every day, thousands of them on a page, and for every customer: so they
are written once and their text is used again.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct


class MaximumCount(Struct):
    """The most RHEL instances of one category that ran at once on a day.

    A value of `_ANY` stands for all values together, an empty one for an unknown value.
    """

    arch: str
    role: str
    sla: str
    usage: str
    service_type: str
    instances_count: Annotated[int, Meta(ge=0)]


MEMBERS = MaximumCount.__struct_fields__
"""What a number of instances is told for, in the order in which it is stored and shown."""

KNOWN_CHARACTERS = 4 * 1024 * 1024
"""Characters of keys and entries that are kept to be used again."""


WORTH_STORING = range(2_000, 256 * 1024)
"""Characters of a day's stored counts whose text is stored too.

Fewer are written anew in less time than PostgreSQL takes to keep them. More are for the few days
that are read piece by piece.
"""


class Beginnings(dict[str, str]):
    """For the values of a key, as stored JSON, how its entry begins: all but the number.

    Those of all customers and requests, for a while: a key's text depends on nothing but the key.
    """

    _characters = 0

    def __missing__(self, values: str) -> str:
        beginning = _written(_entry(json.loads(f"[{values}, 0]"))).removesuffix("0}")
        self._characters += len(values) + len(beginning)
        if self._characters > KNOWN_CHARACTERS:
            self.clear()
            self._characters = len(values) + len(beginning)
        self[values] = beginning
        return beginning


_beginnings = Beginnings()


def shown_counts(counts: str) -> str | None:
    """Return the text to store beside a day's counts, for readers to copy; None for no text."""
    return named_counts(counts) if len(counts) in WORTH_STORING else None


def named_counts(counts: str) -> str:
    """Return the JSON array of a day's counts, without parsing what is known already.

    ``counts`` are JSON as PostgreSQL writes it, with one blank after each comma:
    ``[[arch, role, sla, usage, service_type, count], ...]``. A value that holds what separates two
    counts tears a string apart, which is no JSON then. What is written already, or empty, is
    returned as it is.
    """
    if not counts.startswith("[["):
        return counts
    try:
        pieces = [count.rpartition(", ") for count in counts[2:-2].split("], [")]
        entries = "},".join([_beginnings[values] + number for values, _, number in pieces])
    except ValueError:
        return f"[{','.join(_written(_entry(count)) for count in json.loads(counts))}]"
    return f"[{entries}}}]"


def _entry(count: Sequence[Any]) -> dict[str, Any]:
    """Name the members; raises ValueError if there are not as many."""
    return dict(zip(MEMBERS, count, strict=True))


def _written(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
