"""Why a number is what it is, how it changed, and what is known of an instance (spec 10 §1)."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.coverage.quality import Quality, of_days
from api.images.facts import FACET_LENGTH
from api.metering.facets import ANY, TOTAL, Key
from api.models import User
from api.public import schema, tags, trust_components, usage
from api.public.customers import customer_of
from api.public.filters import NUL, Filter
from api.public.listings import InstanceListing, ListedPage
from api.public.pagination import ListingPagination
from api.public.usage import Bound, UsageUnavailable, read_day, read_days
from api.public.views import ReadOnlyView, one
from api.trust.explain import NotCalculatedError, explain, members
from api.trust.timeline import timeline
from api.trust.usage_changes import usage_changes
from util.pagination import InsightsPagination

NOT_BOTH = "arch and role cannot both be given."

DATE = Bound("date", default=-1, latest=-1, too_late="cannot be today or in the future.")
CHANGES_END = Bound("end_date", default=0, latest=1, too_late="cannot be in the future.")


def read_key(query: Mapping[str, str]) -> Key:
    """Return the key that a request asks for; what is not given stands for all values.

    Raises ValidationError that names the parameter.
    """
    for name in Key._fields:
        if "\0" in query.get(name, ""):
            raise ValidationError({name: [NUL]})
    key = Key(*(query.get(name, ANY)[:FACET_LENGTH] for name in Key._fields))
    if ANY not in (key.arch, key.role):
        raise ValidationError({"arch": [NOT_BOTH]})
    return key


@dataclass(frozen=True)
class PagesOf:
    """Something that is read page by page by a function of limit and offset."""

    read: Callable[[int, int], tuple[int, list[Any]]]

    def page(self, start: int, stop: int) -> ListedPage:
        """Read a page."""
        return ListedPage(*self.read(stop - start, start))


class ExplainView(ReadOnlyView):
    """Why a day's number is what it is."""

    pagination_class = InsightsPagination
    date = DATE
    with_sources = False

    @schema.operation(
        "explainConcurrentUsage",
        trust_components.ExplanationPage(),
        summary="Why a day counts what it counts",
        tag=tags.USAGE,
        description="List the instances that make the maximum of one day, and why they count.",
        parameters=[*schema.EXPLAINED_KEY, schema.RETRY_AFTER],
        errors=[400, 403, 425],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of the runs on at the peak. Raises UsageUnavailable for a stale day."""
        user = self.customer(request)
        key = read_key(request.query_params)
        day = read_day(request.query_params, self.date, joined=user.joined_on)
        try:
            explanation = explain(user_id=user.id, day=day, key=key)
        except NotCalculatedError as error:
            raise UsageUnavailable from error
        paginator = self.pagination_class()
        run_ids: Any = paginator.paginate_queryset(explanation.run_ids, request, view=self)
        data = members(
            user_id=user.id,
            run_ids=run_ids,
            computed_at=explanation.computed_at,
            with_sources=self.with_sources,
        )
        page = paginator.get_paginated_response(data).data
        shown = page.pop("data")
        quality = of_days(user.id, day, day, with_counts=key == TOTAL)[day]
        about = {**explanation.head(), "quality": quality_of_number(quality)}
        return Response({**page, "explanation": about, "data": shown})

    def customer(self, request: Request) -> User:
        """Return the customer whose number is asked for."""
        return customer_of(request)


def quality_of_number(quality: Quality) -> dict[str, Any]:
    """Return what is told of one number: its state and its error bars (spec 10 §1)."""
    return {
        "state": quality.state,
        "count_min": quality.count_min,
        "count_max": quality.count_max,
    }


class UsageChangesView(ReadOnlyView):
    """How the numbers of days changed."""

    pagination_class = ListingPagination

    @schema.operation(
        "listUsageChanges",
        trust_components.UsageChange(many=True),
        summary="Changes of daily use",
        tag=tags.TRUST,
        description="List how the daily maximum use of RHEL changed since it was first calculated.",
        parameters=schema.DAYS,
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of changes, newest first."""
        joined = customer_of(request).joined_on
        days = read_days(request.query_params, joined=joined, start=usage.START, end=CHANGES_END)
        first, end = map(datetime.date.fromordinal, (days.start, days.stop))
        user_id = customer_of(request).id
        changes = PagesOf(
            lambda limit, offset: usage_changes(
                user_id=user_id, first_day=first, end=end, limit=limit, offset=offset
            )
        )
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(changes, request, view=self)
        return paginator.get_paginated_response(page.rows)


class TimelineView(ReadOnlyView):
    """What is known of an instance."""

    pagination_class = ListingPagination

    @schema.operation(
        "listInstanceTimeline",
        trust_components.TimelineItem(many=True),
        summary="Timeline of an instance",
        description="List all that is known of an instance, newest first.",
        tag=tags.INVENTORY,
        parameters=[schema.ID],
        errors=[403, 404],
    )
    def get(self, request: Request, id: str, format: str | None = None) -> Response:
        """Return a page of the timeline of one of the customer's instances."""
        instance = one(InstanceListing(customer_of(request).id, NO_FILTER), id)
        user_id = customer_of(request).id
        items = PagesOf(
            lambda limit, offset: timeline(
                user_id=user_id, instance_id=instance.instance_id, limit=limit, offset=offset
            )
        )
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(items, request, view=self)
        return paginator.get_paginated_response(page.rows)


NO_FILTER = Filter()
