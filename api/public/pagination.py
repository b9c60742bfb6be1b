"""Pages of what is read page by page (spec 01 §5)."""

from typing import Any, Protocol

from rest_framework.request import Request
from rest_framework.response import Response

from api.public.facets import Facets
from api.public.filters import LARGEST_ID
from api.public.listings import ListedPage
from util.pagination import InsightsPagination


class Pages(Protocol):
    """Something that is read page by page."""

    def page(self, start: int, stop: int) -> ListedPage:
        """Read the rows from one place to another, and how many there are in all."""


class ListingPagination(InsightsPagination):
    """The platform's pages; rows and their number are read at once."""

    facets: Facets | None = None
    """What ``meta`` tells of the values on all pages (spec 11 §5)."""

    def paginate_queryset(  # type: ignore[override] # of rows that are no QuerySet
        self, queryset: Pages, request: Request, view: Any = None
    ) -> ListedPage:
        """Return the page that is asked for."""
        self.request = request
        self.limit = self.get_limit(request)
        self.offset = self.get_offset(request)
        start = min(self.offset, LARGEST_ID - self.limit)
        page = queryset.page(start, start + self.limit)
        self.count = page.total
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page in its envelope."""
        response = super().get_paginated_response(data)
        if self.facets is not None:
            response.data["meta"]["facets"] = self.facets
        return response
