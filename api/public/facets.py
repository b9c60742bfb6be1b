"""How many rows of a list have each value of some fields: its facets (spec 11 §3, §5)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

MOST_VALUES: Final = 20
"""Values of a field that are told, the most frequent ones."""

MOST_FREQUENT: Final = f"""
SELECT field, value, number FROM (
    SELECT *, row_number() OVER (
        PARTITION BY field ORDER BY number DESC, value COLLATE "C" NULLS LAST
    ) AS place FROM facet
) facet
WHERE place <= {MOST_VALUES} ORDER BY field, place
"""  # noqa: S608 - made of constants
"""SQL: the most frequent values of ``facet``, which has a field, a value and a number."""

Facets = Mapping[str, list[dict[str, Any]]]


def facets_of(fields: Iterable[str], rows: Iterable[tuple[str, str | None, Any]]) -> Facets:
    """Return ``{field: [{value, count}]}`` from the rows of ``MOST_FREQUENT``.

    A field without any row is there too. The value null stands for rows without one.
    """
    facets: dict[str, list[dict[str, Any]]] = {field: [] for field in fields}
    for field, value, number in rows:
        facets[field].append({"value": value, "count": int(number)})
    return facets
