"""How far days can be trusted: the days of accounts, and the quality of numbers (spec 10 §2)."""

import datetime
from collections.abc import Sequence

from rest_framework.request import Request
from rest_framework.response import Response

from api.coverage.listing import coverage_days
from api.public import coverage_components, schema, tags, usage
from api.public.brackets import BracketParameters, Field, whole_number
from api.public.customers import customer_of
from api.public.pagination import ListingPagination
from api.public.trust import CHANGES_END, PagesOf
from api.public.usage import read_days
from api.public.views import ReadOnlyView

PARAMETERS = BracketParameters(
    fields=[Field("account", "The id of a cloud account.", "41", whole_number)]
)


class CoverageView(ReadOnlyView):
    """How far the days of the customer's accounts can be trusted."""

    pagination_class = ListingPagination

    @schema.operation(
        "listCoverage",
        coverage_components.Coverage(many=True),
        summary="How far days can be trusted",
        tag=tags.TRUST,
        description="List how far the days of cloud accounts can be trusted, and their gaps.",
        parameters=[*schema.DAYS, *schema.brackets(PARAMETERS)],
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of days of accounts, in the order of days."""
        user_id = customer_of(request).id
        joined = customer_of(request).joined_on
        days = read_days(request.query_params, joined=joined, start=usage.START, end=CHANGES_END)
        accounts: Sequence[int] | None = PARAMETERS.read(request.query_params).filters.get(
            "account"
        )
        found = PagesOf(
            lambda limit, offset: coverage_days(
                user_id=user_id,
                first_day=datetime.date.fromordinal(days.start),
                end=datetime.date.fromordinal(days.stop),
                account_ids=accounts,
                limit=limit,
                offset=offset,
            )
        )
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(found, request, view=self)
        return paginator.get_paginated_response(page.rows)
