"""What is wrong in how a customer's RHEL is paid (spec 11 §2)."""

import datetime
from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from api.billing.findings import FindingsQuery, findings
from api.models import BillingFinding, User
from api.public import billing_components, schema, tags
from api.public.brackets import BracketParameters, Brackets, Field, FieldSql, OneOf, whole_number
from api.public.customers import customer_of
from api.public.listings import ListedPage
from api.public.pagination import ListingPagination
from api.public.usage import Bound, read_days
from api.public.views import ReadOnlyView
from util import clock

START = Bound("start_date", default=-1, latest=0, too_late="cannot be in the future.")
END = Bound("end_date", default=0, latest=1, too_late="cannot be in the future.")

INSTANCE = "instance"
FIELDS = (
    Field("kind", "What is wrong.", "converted", OneOf(BillingFinding.Kind.values)),
    Field("account", "Id of the account.", "41", whole_number),
    Field("region", "Region of the instance.", "us-east-1"),
    Field(INSTANCE, "Id of the instance, ours or the cloud's.", "i-0a1b2c3d"),
    Field("confidence", "How sure it is.", "certain", OneOf(BillingFinding.Confidence.values)),
)
PARAMETERS = BracketParameters(FIELDS)
_COLUMNS = {
    "kind": FieldSql("finding.kind"),
    "account": FieldSql("finding.cloud_account_id"),
    "region": FieldSql("instance.region"),
    "confidence": FieldSql("finding.confidence"),
}
_INSTANCE = " AND (instance.id::text = ANY(%s) OR lower(instance.cloud_instance_id) = ANY(%s))"


@dataclass(frozen=True)
class FindingPages:
    """A customer's findings, read page by page."""

    window: FindingsQuery
    brackets: Brackets

    def page(self, start: int, stop: int) -> ListedPage:
        """Read a page."""
        condition, values = self.condition()
        total, rows = findings(
            self.window, condition=condition, values=values, limit=stop - start, offset=start
        )
        return ListedPage(total, rows)

    def condition(self) -> tuple[str, list[Any]]:
        """Return SQL over the findings, and the values in it."""
        filters = dict(self.brackets.filters)
        instances = filters.pop(INSTANCE, None)
        filtered = Brackets(filters=filters).condition(_COLUMNS)
        if instances is None:
            return filtered.sql, list(filtered.values)
        lower = [one.lower() for one in instances]
        return filtered.sql + _INSTANCE, [*filtered.values, list(instances), lower]


class BillingFindingsView(ReadOnlyView):
    """What is wrong in how RHEL is paid."""

    pagination_class = ListingPagination

    @schema.operation(
        "listBillingFindings",
        billing_components.BillingFinding(many=True),
        summary="Findings about who is paid for RHEL",
        tag=tags.BILLING,
        description=(
            "List instances whose RHEL is paid twice, or by nobody, or nobody knows how."
            " Findings change no count."
        ),
        parameters=[*schema.DAYS, *schema.brackets(PARAMETERS)],
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of findings: those with most seconds first."""
        user = self.customer(request)
        brackets = PARAMETERS.read(request.query_params)
        days = read_days(request.query_params, joined=user.joined_on, start=START, end=END)
        paginator = self.pagination_class()
        pages = FindingPages(window_of(user.id, days), brackets)
        page = paginator.paginate_queryset(pages, request, view=self)
        return paginator.get_paginated_response(page.rows)

    def customer(self, request: Request) -> User:
        """Return the customer whose findings are asked for."""
        return customer_of(request)


def window_of(user_id: int, days: range) -> FindingsQuery:
    """Return the time of some days (UTC), given by their ordinals."""
    begin, limit = (
        datetime.datetime.combine(
            datetime.date.fromordinal(day), datetime.time(), tzinfo=datetime.UTC
        )
        for day in (days.start, days.stop)
    )
    return FindingsQuery(user_id=user_id, begin=begin, limit=limit, now=clock.now())
