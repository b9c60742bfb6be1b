"""The machinery of the internal API's read routes: a resource is declared, not programmed.

A ``BrowsableResource`` says where the rows come from, what is shown of each and how they can be
filtered; from that follow serializer, query parameters, list and detail route and the names in the
OpenAPI document (spec 02 §5). Lists take two statements however long they are: one reads the page,
the other counts if there may be more rows. Rows with a large column are measured first, and read a
few at a time if they need to be.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from django.db.models import Func, IntegerField, QuerySet, TextField
from django.db.models.functions import Cast
from django.http.response import HttpResponseBase
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from api.internal.fields import serializer_for
from api.internal.filters import Filters, filter_set, only
from api.internal.schema import ResourceSchema
from api.internal.streaming import stream_page
from api.internal.views import InternalView
from api.public.listings import SHALLOW, ListedPage
from api.public.pagination import ListingPagination
from util.batches import PIECE, batched_by_size

Ids: TypeAlias = Sequence[Any] | QuerySet
"""Ids of rows, or a query for them."""


@dataclass(frozen=True)
class BrowsableResource:
    """One resource of the internal API.

    ``name`` is its route, ``model`` its name in the OpenAPI document. The root names only what the
    reference has (spec 10, "additive"). Rows that are not ``timestamped`` show neither
    ``created_at`` nor ``updated_at``. ``large`` is a column that may be so large that not all
    rows of a page fit into memory (README decision 43).
    """

    name: str
    model: str
    rows: Callable[[], QuerySet]
    fields: Mapping[str, serializers.Field]
    filters: Filters = field(default_factory=dict)
    timestamped: bool = True
    in_root: bool = True
    large: str | None = None
    ordered_by: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> list[str]:
        """The columns of the rows' own table that lists read: those that are shown."""
        own = self._own_columns()
        return sorted(own & self._shown if self.fields else own)

    @cached_property
    def is_plain(self) -> bool:
        """Whether all that is shown are columns, and annotations of the rows."""
        own = {*self._own_columns(), *self.rows().query.annotation_select}
        return bool(self.fields) and self._shown <= own

    @property
    def _shown(self) -> set[str]:
        """The attributes of a row that are shown."""
        first = {"id", "created_at", "updated_at"} if self.timestamped else {"id"}
        return {*first, *(one.source or name for name, one in self.fields.items())}

    def _own_columns(self) -> set[str]:
        return {column.attname for column in self.rows().model._meta.concrete_fields}

    @property
    def order(self) -> tuple[str, ...]:
        """By age; rows that do not know theirs by id (spec 02 §2.2)."""
        return self.ordered_by or (("created_at", "pk") if self.timestamped else ("pk",))

    @cached_property
    def schema_name(self) -> str:
        """The component's name in the OpenAPI document (spec 02 §10)."""
        return f"Internal{self.model}"

    @cached_property
    def serializer(self) -> type[serializers.Serializer]:
        """What is shown of a row."""
        return serializer_for(
            self.schema_name,
            f"A row of `{self.name}`.",
            dict(self.fields),
            timestamped=self.timestamped,
        )

    @cached_property
    def filter_set(self) -> type[FilterSet]:
        """How the rows can be filtered."""
        return filter_set(self.schema_name, self.filters)


class RowsChanged(Exception):
    """Rows of a large page disappeared after they were found and before they were read."""


class FilteredRows:
    """Filtered rows, to be counted and read page by page.

    The ids of a page deep in the list are found by a narrow subquery, so that columns, joins and
    subqueries that a row needs are only read and made for those of the page, however many come
    before it. Rows are Django's objects, or named tuples where nothing but columns is shown.
    """

    def __init__(self, resource: BrowsableResource, rows: QuerySet, matching: QuerySet) -> None:
        self.resource = resource
        self.rows = rows
        self.matching = matching

    def page(self, start: int, stop: int) -> ListedPage:
        """Read a page, of large rows only when they are used; count if there may be more."""
        matching = self.matching.order_by(*self.resource.order)
        if self.resource.large is None and stop <= SHALLOW:
            rows = list(self._narrowed(matching)[start:stop])
            return ListedPage(self._total(start, stop, len(rows)), rows)
        batches = self._divide(matching.values("pk")[start:stop])
        if len(batches) > 1:
            found = sum(map(len, batches))
            return ListedPage(
                self._total(start, stop, found), self.read_all(batches), is_large=True
            )
        rows = [row for ids in batches for row in self.read(ids)]
        return ListedPage(self._total(start, stop, len(rows)), rows)

    def _total(self, start: int, stop: int, found: int) -> int:
        """Return how many rows match, which a page tells that is neither full nor beyond all."""
        if found < stop - start and (found or not start):
            return start + found
        return self.matching.count()

    def _divide(self, ids: QuerySet) -> list[Any]:
        """Divide the ids of a page into those whose rows may be in memory together."""
        if self.resource.large is None:
            return [ids]
        text = Cast(self.resource.large, TextField())
        size = Func(text, function="octet_length", output_field=IntegerField())
        found = self.rows.filter(pk__in=ids).order_by(*self.resource.order)
        sizes = list(found.values_list("pk", size))
        batches = batched_by_size(
            sizes, size_of=lambda row: row[1] or 0, limit=PIECE, most=len(sizes)
        )
        return [[key for key, _ in batch] for batch in batches]

    def read(self, ids: Ids) -> list[Any]:
        """Read rows of a page."""
        return list(self._narrowed(self.rows.filter(pk__in=ids).order_by(*self.resource.order)))

    def _narrowed(self, rows: QuerySet) -> QuerySet:
        """Read no other columns than those that are shown."""
        columns = self.resource.columns
        if self.resource.is_plain:
            return rows.values_list(*columns, *rows.query.annotation_select, named=True)
        return rows.only(*columns)

    def read_all(self, batches: Iterable[Ids]) -> Iterator[Any]:
        """Read the rows of a large page.

        Raises RowsChanged, which breaks the connection, rather than to leave out any.
        """
        for ids in batches:
            rows = self.read(ids)
            if len(rows) < len(ids):
                raise RowsChanged(f"Rows of {self.resource.name} disappeared while they were read.")
            yield from rows


class BrowseView(InternalView, ListModelMixin, RetrieveModelMixin, GenericViewSet):
    """List and detail of one resource."""

    resource: BrowsableResource
    pagination_class = ListingPagination
    filterset_class: type[FilterSet]
    schema = ResourceSchema()

    def get_queryset(self) -> QuerySet:
        """Return the resource's rows."""
        return self.resource.rows()

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """Keep the rows that the given parameters mean. Raises ValidationError."""
        given = frozenset(self.filterset_class.base_filters.keys() & self.request.query_params)
        if not given:
            return queryset
        self.filterset_class = only(self.filterset_class, given)  # type: ignore[arg-type]
        return super().filter_queryset(queryset)

    def list(  # type: ignore[override] # a long page is streamed
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Return a page of the rows, oldest first."""
        rows = self.get_queryset()
        listing = FilteredRows(self.resource, rows, self.filter_queryset(rows))
        page: Any = self.paginate_queryset(listing)  # type: ignore[arg-type] # read by pages
        if page.is_large:
            envelope = self.get_paginated_response(None).data
            shown = (self.get_serializer(row).data for row in page.rows)
            return stream_page(request, envelope, shown)
        return self.get_paginated_response(self.get_serializer(page.rows, many=True).data)


def browse(
    resource: BrowsableResource, serializer: type[serializers.BaseSerializer] | None = None
) -> type[BrowseView]:
    """Make the view class of a resource; those that can be written to inherit from it.

    A resource that can be written to may bring a serializer of its own.
    """
    view = type(
        f"{resource.model}View",
        (BrowseView,),
        {
            "__doc__": f"Browse `{resource.name}`.",
            "resource": resource,
            "serializer_class": serializer or resource.serializer,
            "filterset_class": resource.filter_set,
        },
    )
    if resource.rows().model._meta.pk.name == "id":
        return view
    key = OpenApiParameter("id", str, OpenApiParameter.PATH, description="The row's id.")
    return extend_schema_view(retrieve=extend_schema(parameters=[key]))(view)
