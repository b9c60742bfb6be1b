"""Pages of what is read page by page (spec 01 §5)."""

from collections.abc import Iterable
from typing import Any

from rest_framework.request import Request

from api.public.listings import Listing
from api.public.objects import Row
from util.pagination import InsightsPagination

LARGEST_ID = 2**63 - 1
"""The largest number that PostgreSQL takes, as id or as offset."""


class ListingPagination(InsightsPagination):
    """The platform's pages; rows and their number are read at once."""

    def paginate_queryset(
        self, queryset: Listing, request: Request, view: Any = None
    ) -> Iterable[Row]:
        """Return the rows of the page that is asked for."""
        self.request = request
        self.limit = self.get_limit(request)
        self.offset = self.get_offset(request)
        start = min(self.offset, LARGEST_ID - self.limit)
        self.count, rows = queryset.page(start, start + self.limit)
        return rows
