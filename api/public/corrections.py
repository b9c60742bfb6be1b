"""Where describes contradicted what our events had told (spec 10 §3.1)."""

import datetime

from rest_framework.request import Request
from rest_framework.response import Response

from api.models import Correction, User
from api.public import schema, tags, trust_components
from api.public.brackets import BracketParameters, Field, FieldSql, OneOf, whole_number
from api.public.customers import customer_of
from api.public.pagination import ListingPagination
from api.public.trust import CHANGES_END, PagesOf
from api.public.usage import START, read_days
from api.public.views import ReadOnlyView
from api.trust.corrections import corrections

FILTERS = BracketParameters(
    (
        Field("account", "Id of the cloud account.", "41", whole_number),
        Field("kind", "What had been missed.", "missed_off", OneOf(Correction.Kind.values)),
        Field("instance", "Id of the instance.", "4", whole_number),
    )
)

COLUMNS = {
    "account": FieldSql("correction.cloud_account_id", is_text=False),
    "kind": FieldSql("correction.kind"),
    "instance": FieldSql("correction.instance_id", is_text=False),
}


class CorrectionsView(ReadOnlyView):
    """What describes found that no event had told."""

    pagination_class = ListingPagination

    @schema.operation(
        "listCorrections",
        trust_components.Correction(many=True),
        summary="Contradictions between events and describes",
        tag=tags.TRUST,
        description="List where a look at the cloud contradicted what its events had told,"
        " and between which moments it is unsure when that happened.",
        parameters=[*schema.DAYS, *schema.brackets(FILTERS)],
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of corrections, newest first."""
        user = self.customer(request)
        days = read_days(request.query_params, joined=user.joined_on, start=START, end=CHANGES_END)
        first, end = map(datetime.date.fromordinal, (days.start, days.stop))
        wanted = FILTERS.read(request.query_params).condition(COLUMNS)
        found = PagesOf(
            lambda limit, offset: corrections(
                user_id=user.id,
                first_day=first,
                end=end,
                limit=limit,
                offset=offset,
                condition=wanted.sql,
                values=wanted.values,
            )
        )
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(found, request, view=self)
        return paginator.get_paginated_response(page.rows)

    def customer(self, request: Request) -> User:
        """Return the customer whose corrections are asked for."""
        return customer_of(request)
