"""The machinery of the internal API's read routes: a resource is declared, not programmed.

A ``Resource`` says where the rows come from, what is shown of each and how they can be filtered;
from that follow serializer, query parameters, list and detail route and the names in the OpenAPI
document (spec 02 §5). Lists take two statements however long they are: one counts, one reads the
page.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet
from django_filters.rest_framework import FilterSet
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from api.internal.fields import serializer_for
from api.internal.filters import Filters, filter_set
from api.internal.schema import ResourceSchema
from api.internal.views import InternalView


@dataclass(frozen=True)
class Resource:
    """One resource of the internal API.

    ``name`` is its route, ``model`` its name in the OpenAPI document. The root names only what the
    reference has (spec 10, "additive").
    """

    name: str
    model: str
    rows: Callable[[], QuerySet]
    fields: Mapping[str, serializers.Field]
    filters: Filters = field(default_factory=dict)
    timestamped: bool = True
    in_root: bool = True

    @property
    def order(self) -> tuple[str, ...]:
        """By age; rows that do not know theirs by id (spec 02 §2.2)."""
        return ("created_at", "id") if self.timestamped else ("id",)

    @cached_property
    def schema_name(self) -> str:
        """The component's name in the OpenAPI document (spec 02 §10)."""
        return f"Internal{self.model}"

    @cached_property
    def serializer(self) -> type[serializers.Serializer]:
        """What is shown of a row."""
        return serializer_for(self.schema_name, f"A row of `{self.name}`.", dict(self.fields))

    @cached_property
    def filter_set(self) -> type[FilterSet]:
        """How the rows can be filtered."""
        return filter_set(self.schema_name, self.filters)


class Listing:
    """Filtered rows, to be counted and read page by page.

    The page's ids are found by a narrow subquery, so that joins and subqueries that a row needs are
    only made for those of the page, however many come before it.
    """

    def __init__(self, resource: Resource, rows: QuerySet, matching: QuerySet) -> None:
        self.resource = resource
        self.rows = rows
        self.matching = matching

    def count(self) -> int:
        """Tell how many rows match."""
        return self.matching.count()

    def __getitem__(self, page: slice) -> list[Model]:
        """Read the rows of a page."""
        ids = self.matching.order_by(*self.resource.order).values("id")[page]
        return list(self.rows.filter(id__in=ids).order_by(*self.resource.order))


class BrowseView(InternalView, ListModelMixin, RetrieveModelMixin, GenericViewSet):
    """List and detail of one resource."""

    resource: Resource
    schema = ResourceSchema()

    def get_queryset(self) -> QuerySet:
        """Give the resource's rows."""
        return self.resource.rows()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Give a page of the rows, oldest first."""
        rows = self.get_queryset()
        page = self.paginate_queryset(Listing(self.resource, rows, self.filter_queryset(rows)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


def browse(
    resource: Resource, serializer: type[serializers.BaseSerializer] | None = None
) -> type[BrowseView]:
    """Make the view class of a resource; those that can be written to inherit from it.

    A resource that can be written to may bring a serializer of its own.
    """
    return type(
        f"{resource.model}View",
        (BrowseView,),
        {
            "__doc__": f"Browse `{resource.name}`.",
            "resource": resource,
            "serializer_class": serializer or resource.serializer,
            "filterset_class": resource.filter_set,
        },
    )
