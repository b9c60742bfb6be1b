"""Counting instances in groups of equal ones, before a page of them is read (spec 11 §3).

A customer has far fewer images, regions and types than instances. What depends on these alone is
decided once for each group: which images pass, how many rows there are, and which values are on the
page if rows are sorted by one. The page's statement then looks at rows of these images and values
only, or, where few rows pass, at these.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from api.public.brackets import (
    UNSORTED,
    Brackets,
    Sorting,
    like_pattern,
    matching,
    searched,
)
from api.public.filters import Filter
from api.public.image_listing import OWN
from api.public.instance_fields import INSTANCE_COLUMNS, INSTANCE_SEARCH

FEW: Final = 1000
"""So many rows, where each was looked at to count them, are named to the page's statement."""

_LISTED: Final = frozenset(
    ("cloud_account_id", "region", "instance_type", "power_state", "machine_image_id")
)
"""Columns of the index ``instance_listed``, off which groups are read alone."""
_BEHIND: Final = {
    "fact.": frozenset(("usage_operation", "product_codes", "licenses", "cloud_image")),
    "own_finding.": frozenset(("id",)),
}
"""Columns that stand behind what rows are joined with."""
_GROUPED: Final = _LISTED | _BEHIND["fact."] | {"cloud_type"}
"""Columns of which a customer's instances have few different values."""

_COLUMN: Final = re.compile(r"\binstance\.(\w+)")

JOINS: Final = {
    "image.": "LEFT JOIN api_machineimage image ON image.id = instance.machine_image_id",
    "own_tags.": "LEFT JOIN own_tags ON own_tags.machine_image_id = instance.machine_image_id",
    "fact.": """CROSS JOIN LATERAL (
        SELECT instance.usage_operation, instance.product_codes, instance.licenses,
               instance.cloud_image AS image
    ) fact""",
    "own_finding.": """LEFT JOIN (
        SELECT instance_id, min(kind) AS kind FROM api_billingfinding
        WHERE user_id = (SELECT min(user_id) FROM own) GROUP BY instance_id
    ) own_finding ON own_finding.instance_id = instance.id""",
}
"""What rows of instances are joined with where SQL needs it, by how it names that."""

# Account by account, PostgreSQL may find the groups in the order of the index.
_CELLS = f"""{OWN}, cells AS MATERIALIZED (
    SELECT cell.* FROM own CROSS JOIN LATERAL (
        SELECT {{columns}}, count(*) AS number, {{ids}} AS ids
        FROM (
            SELECT * FROM api_instance instance WHERE cloud_account_id = own.id{{plain}}
        ) instance
        WHERE true{{conditions}}
        GROUP BY {{places}}
    ) cell
)"""  # noqa: S608 - made of constants
_COUNT = f"""{_CELLS}
SELECT instance.machine_image_id, {{sort_key}} AS sort_key, sum(instance.number),
       string_agg(array_to_string(instance.ids, ','), ',') FILTER (WHERE instance.number <= {FEW})
FROM cells instance {{joins}} WHERE true{{group_conditions}}
GROUP BY 1, 2 ORDER BY 2 {{direction}}
"""  # noqa: S608
_COUNT_VALUES = f"""{_CELLS}, facet AS (
    SELECT facet.field, facet.value, sum(instance.number) AS number
    FROM cells instance {{joins}}
    CROSS JOIN LATERAL (VALUES {{values}}) facet (field, value)
    WHERE true{{group_conditions}}
    GROUP BY 1, 2
)"""  # noqa: S608


def joins_for(sql: str) -> str:
    """Return what SQL has to be joined with."""
    return " ".join(join for name, join in JOINS.items() if _names(name, sql))


def _names(table: str, sql: str) -> bool:
    return re.search(rf"\b{re.escape(table)}", sql) is not None


def _columns_in(sql: str) -> set[str]:
    """Return the columns of instances that SQL rests on."""
    behind = (columns for table, columns in _BEHIND.items() if _names(table, sql))
    return set(_COLUMN.findall(sql)).union(*behind)


class Statement(NamedTuple):
    """SQL, and the values in it."""

    sql: str
    values: list[Any]


class _Group(NamedTuple):
    """Instances of one image that are sorted alike; ids if they are few and known."""

    image_id: int | None
    sort_key: Any
    number: int
    ids: str | None


@dataclass
class Conditions:
    """What rows must fulfil, parted by what decides it."""

    plain: Filter
    rows: Filter = field(default_factory=Filter)
    """About columns of the row alone."""
    groups: Filter = field(default_factory=Filter)
    """About the image, perhaps together with columns that have few different values."""
    beyond_images: Filter = field(default_factory=Filter)
    """Those of ``groups`` that the image does not decide alone."""
    search: str | None = None

    @classmethod
    def of(cls, plain: Filter, brackets: Brackets) -> "Conditions":
        """Part what brackets ask for."""
        conditions = cls(plain)
        for part in brackets.parts(INSTANCE_COLUMNS):
            conditions._add(part)
        if brackets.search is not None:
            conditions.search = like_pattern(brackets.search)
        return conditions

    def _add(self, part: Filter) -> None:
        columns = _columns_in(part.sql)
        if not (columns <= _GROUPED and joins_for(part.sql)):
            self.rows += part
            return
        self.groups += part
        if columns:
            self.beyond_images += part

    @property
    def are_told_by_index(self) -> bool:
        """Return whether no row itself has to be looked at, but for groups' columns."""
        return not (self.plain.sql or self.search) and _columns_in(self.rows.sql) <= _LISTED

    @property
    def found_by_name(self) -> Filter:
        """Return the condition of the image's name, or that the row was found by its id."""
        if self.search is None:
            return Filter()
        sql = f" AND (instance.is_found OR {matching('image.name', self.search)})"
        return Filter(sql, (self.search,))

    @property
    def found(self) -> Filter:
        """Return the whole condition of the text that is searched for."""
        return Filter() if self.search is None else searched(INSTANCE_SEARCH, self.search)


def counting(user_id: int, conditions: Conditions, sorting: Sorting) -> Statement:
    """Return the statement that counts rows by image and by what they are sorted by."""
    sort_key = sorting.sort_key if is_grouped(sorting) else "NULL::integer"
    parts = {"sort_key": sort_key, "direction": sorting.direction}
    return _complete(_COUNT, user_id, conditions, sort_key, parts, tells_ids=True)


def counting_values(user_id: int, conditions: Conditions, values: str) -> Statement:
    """Return the beginning of a statement, ``facet`` in which counts rows by fields' values.

    ``values`` is SQL of rows of VALUES with a field and its value.
    """
    return _complete(_COUNT_VALUES, user_id, conditions, values, {"values": values})


def _complete(
    statement: str,
    user_id: int,
    conditions: Conditions,
    needed: str,
    parts: Mapping[str, str],
    *,
    tells_ids: bool = False,
) -> Statement:
    """Return a statement about groups that has ``needed`` in it beside conditions.

    With ``tells_ids`` groups have the ids of their rows, if single rows are looked at.
    """
    wanted = conditions.groups + conditions.found_by_name
    joins = joins_for(f"{wanted.sql} {needed}")
    columns = _columns_in(f"{conditions.groups.sql} {needed}")
    if joins:
        columns.add("machine_image_id")
    names, values = [f"instance.{column}" for column in sorted(columns)], []
    if "machine_image_id" not in columns:
        names.append("NULL::bigint AS machine_image_id")
    if conditions.search is not None:
        found = matching("instance.cloud_instance_id", conditions.search)
        names.append(f"({found}) AS is_found")
        values.append(conditions.search)
    tells_ids = tells_ids and not conditions.are_told_by_index
    sql = statement.format(
        **parts,
        columns=", ".join(names),
        places=", ".join(str(place + 1) for place in range(len(names))),
        ids="array_agg(instance.id)" if tells_ids else "NULL::bigint[]",
        plain=conditions.plain.sql,
        conditions=conditions.rows.sql,
        joins=joins,
        group_conditions=wanted.sql,
    )
    inner = (*conditions.plain.values, *conditions.rows.values)
    return Statement(sql, [user_id, *values, *inner, *wanted.values])


def is_grouped(sorting: Sorting) -> bool:
    """Return whether a group has one place in the order."""
    return _columns_in(sorting.sort_key) <= _GROUPED


class PagePlan(NamedTuple):
    """Where a page's rows are: how many there are in all, and what to look for where."""

    total: int
    filter: Filter
    skipped: int
    """Rows before the page that ``filter`` leaves out already."""
    sorting: Sorting
    """How what ``filter`` lets pass is to be sorted."""


def locate(
    rows: Sequence[tuple[Any, ...]], conditions: Conditions, sorting: Sorting, page: range
) -> PagePlan:
    """Return what a page's statement has to look for, from the rows of ``counting``."""
    groups = [_Group(*row) for row in rows]
    total = int(sum(group.number for group in groups))
    ids = [group.ids for group in groups]
    if total <= FEW and all(ids):
        few = [int(id) for id in ",".join(map(str, ids)).split(",") if id]
        return PagePlan(total, _one_of("instance.id", few), 0, sorting)
    shown, skipped = _on_page(groups, page)
    wanted = conditions.rows + conditions.beyond_images + conditions.found
    if conditions.groups.sql or _names("image.", sorting.sort_key):
        wanted += _one_of("instance.machine_image_id", {group.image_id for group in shown})
    if is_grouped(sorting):
        keys = {group.sort_key for group in shown}
        if _columns_in(sorting.sort_key):
            wanted += _one_of(sorting.sort_key, keys)
        if len(keys) == 1:
            # All rows of the page are alike: they come in the order in which lists are anyway.
            sorting = UNSORTED
    return PagePlan(total, wanted, skipped, sorting)


def _on_page(groups: Sequence[_Group], page: range) -> tuple[list[_Group], int]:
    """Return the groups with a row on a page, and how many rows come before them.

    Groups that are sorted alike are all there, or none of them is.
    """
    shown: list[_Group] = []
    before = skipped = 0
    for _, alike in groupby(groups, key=attrgetter("sort_key")):
        members = list(alike)
        after = before + int(sum(group.number for group in members))
        if after <= page.start:
            skipped = after
        elif before < page.stop:
            shown += members
        before = after
    return shown, skipped


def _one_of(sql: str, values: Collection[Any]) -> Filter:
    """Return the condition that something has one of some values, None among them perhaps."""
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return Filter(f" AND {sql} = ANY(%s)", (known,))
    return Filter(f" AND ({sql} = ANY(%s) OR {sql} IS NULL)", (known,))
