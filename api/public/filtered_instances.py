"""Lists of instances that are filtered, sorted, or shown with more than usual (spec 11 §3).

However many instances a customer has, a page takes two statements, and one more for facets. One
counts, in groups (``api.public.instance_groups``); it and that of the facets read little but the
index ``instance_listed``. One reads the page.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection

from api.public.brackets import Brackets
from api.public.facets import MOST_FREQUENT, Facets, facets_of
from api.public.filters import Filter
from api.public.image_listing import OWN
from api.public.instance_fields import INSTANCE_COLUMNS, INSTANCE_SEARCH, UNKNOWN
from api.public.instance_groups import (
    JOINS,
    Conditions,
    Statement,
    counting,
    counting_values,
    joins_for,
    locate,
)
from api.public.listings import ListedPage
from api.public.resources import INSTANCES, Instance, InstanceState
from api.public.shapes import Shape, columns_of

_FACETS: Final = ("region", "instance_type", "status", "rhel_version")
_BY_AGE: Final = "instance.created_at, instance.id"

_OWN_INSTANCES = """(
    SELECT * FROM api_instance instance
    WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM own)){plain}
) instance"""

_PAGE = f"""{OWN}, page AS (
    SELECT instance.id, {{sort_key}} AS sort_key
    FROM {_OWN_INSTANCES} {{joins}} WHERE true{{conditions}}
    ORDER BY 2 {{direction}}, {_BY_AGE} LIMIT %s OFFSET %s
)
SELECT {{columns}}
FROM page
JOIN api_instance instance ON instance.id = page.id
{{joins_of_page}}
ORDER BY page.sort_key {{direction}}, {_BY_AGE}
"""  # noqa: S608 - made of constants
_VALUES = f"""
    ('region', instance.region::text), ('instance_type', instance.instance_type::text),
    ('status', coalesce(instance.power_state::text, '{UNKNOWN}')),
    ('rhel_version', image.rhel_version)
"""

STATE_COLUMNS: Final = columns_of(InstanceState)


class InstanceRows(NamedTuple):
    """SQL of rows ``instance`` with ``image`` and ``own_tags``, and the values in it, in order."""

    before: str
    source: str
    order: str
    values: list[Any]


def instance_rows(user_id: int, plain: Filter, brackets: Brackets) -> InstanceRows:
    """Return all of a customer's instances that pass, for statements of others."""
    condition = brackets.condition(INSTANCE_COLUMNS, INSTANCE_SEARCH)
    sorting = brackets.sorting(INSTANCE_COLUMNS)
    joins = " ".join(JOINS.values())
    own = _OWN_INSTANCES.format(plain=plain.sql)
    return InstanceRows(
        before=OWN,
        source=f"FROM {own} {joins} WHERE true{condition.sql}",
        order=f"ORDER BY {sorting.sort_key} {sorting.direction}, {_BY_AGE}",
        values=[user_id, *plain.values, *condition.values],
    )


@dataclass(frozen=True)
class FilteredInstances:
    """A customer's instances as far as brackets let them pass, by a field or oldest first."""

    user_id: int
    filter: Filter
    brackets: Brackets
    shape: Shape[Instance] = INSTANCES

    def page(self, start: int, stop: int) -> ListedPage:
        """Count, then read the page."""
        conditions = Conditions.of(self.filter, self.brackets)
        sorting = self.brackets.sorting(INSTANCE_COLUMNS)
        groups = _send(counting(self.user_id, conditions, sorting))
        found = locate(groups, conditions, sorting, range(start, stop))
        if start >= found.total:
            return ListedPage(found.total, [])
        columns = ", ".join(self.shape.columns)
        sql = _PAGE.format(
            columns=columns,
            plain=self.filter.sql,
            joins=joins_for(f"{found.filter.sql} {found.sorting.sort_key}"),
            joins_of_page=joins_for(columns),
            conditions=found.filter.sql,
            **found.sorting._asdict(),
        )
        values = [self.user_id, *self.filter.values, *found.filter.values]
        rows = _send(Statement(sql, [*values, stop - start, start - found.skipped]))
        return ListedPage(found.total, map(self.shape.read, rows))

    def facets(self) -> Facets:
        """Count the rows on all pages by the values of some fields."""
        conditions = Conditions.of(self.filter, self.brackets)
        sql, values = counting_values(self.user_id, conditions, _VALUES)
        return facets_of(_FACETS, _send(Statement(sql + MOST_FREQUENT, values)))


def _send(statement: Statement) -> list[Any]:
    """Execute a statement, and return all of its rows."""
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return cursor.fetchall()
