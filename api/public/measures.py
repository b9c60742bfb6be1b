"""How long RHEL was on, and how much at once: the parameters of ``usage/`` (spec 11 §1, §5)."""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.billing.classes import BillingClass
from api.measures.buckets import BucketsError, Granularity, buckets_between
from api.measures.question import (
    DIMENSIONS,
    MOST_DIMENSIONS,
    MOST_GROUPS,
    Question,
    TooManyGroupsError,
)
from api.measures.usage import usage
from api.models import CloudType, User
from api.public import measures_components, schema, tags
from api.public.brackets import BracketParameters, Errors, Field, OneOf, text, whole_number
from api.public.customers import customer_of
from api.public.filters import NO_CHOICE, NO_INSTANT
from api.public.pagination import ListingPagination
from api.public.timestamps import parse_instant
from api.public.trust import PagesOf
from api.public.views import ReadOnlyView
from util import clock

_FIELDS = {
    "account": Field("account", "Id of an account.", "12", whole_number),
    "arch": Field("arch", "Architecture, as it is stored.", "x86_64", text, takes_empty=True),
    "billing": Field("billing", "Who is paid for RHEL.", "own", OneOf(BillingClass.values)),
    "cloud_type": Field("cloud_type", "Cloud.", "aws", OneOf(CloudType.values)),
    "image": Field("image", "Id of an image.", "34", whole_number),
    "instance_type": Field("instance_type", "Instance type.", "m5.large", text, takes_empty=True),
    "region": Field("region", "Region.", "us-east-1"),
    "role": Field("role", "Role.", "Red Hat Enterprise Linux Server", text, takes_empty=True),
    "service_type": Field("service_type", "Service type.", "L1-L3", text, takes_empty=True),
    "sla": Field("sla", "Service level.", "Premium", text, takes_empty=True),
    "usage": Field("usage", "Usage.", "Production", text, takes_empty=True),
}

_HOUR_ALONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}(?:Z|[+-].*)?")
"""An hour as people write it, such as 2023-03-01T08."""

PARAMETERS = BracketParameters(
    fields=[_FIELDS[name] for name in DIMENSIONS],
    excludes=True,
    groups=DIMENSIONS,
    most_groups=MOST_DIMENSIONS,
)

USAGE = [
    schema.query("start", "First moment: by default yesterday.", OpenApiTypes.DATETIME),
    schema.query("end", "First moment after the last: by default today.", OpenApiTypes.DATETIME),
    schema.query(
        "granularity", "How long a row is: by default a day.", enum=[*Granularity], default="day"
    ),
    *schema.brackets(PARAMETERS),
]
"""The parameters, for OpenAPI."""


def read_question(query: Mapping[str, str], user: User) -> Question:
    """Return what a request asks for. Raises ValidationError that names all that is wrong."""
    brackets, errors = PARAMETERS.collect(query)
    granularity = _granularity(query, errors)
    moments = {name: _moment(query, name, errors) for name in ("start", "end")}
    now = clock.now()
    buckets = []
    if not errors:
        try:
            buckets = buckets_between(moments["start"], moments["end"], granularity, now=now)
        except BucketsError as error:
            errors[error.parameter] = [str(error)]
    if errors:
        raise ValidationError(errors)
    return Question(
        user_id=user.id,
        joined=user.joined_on,
        granularity=granularity,
        buckets=buckets,
        now=now,
        dimensions=brackets.groups,
        filters=brackets.filters,
        excludes=brackets.excludes,
    )


def _granularity(query: Mapping[str, str], errors: Errors) -> Granularity:
    name = query.get("granularity") or Granularity.DAY
    try:
        return Granularity(name)
    except ValueError:
        errors["granularity"] = [NO_CHOICE.format(name)]
        return Granularity.DAY


def _moment(query: Mapping[str, str], name: str, errors: Errors) -> datetime.datetime | None:
    value = query.get(name, "").strip()
    if _HOUR_ALONE.fullmatch(value):
        value = f"{value[:13]}:00{value[13:]}"
    try:
        return parse_instant(value) if value else None
    except ValueError:
        errors[name] = [NO_INSTANT]
        return None


class UsageView(ReadOnlyView):
    """How long RHEL was on, and how much at once, by hour, day or month."""

    pagination_class = ListingPagination

    @schema.operation(
        "listUsage",
        measures_components.Usage(many=True),
        summary="How long RHEL was on",
        tag=tags.USAGE,
        description="List how long RHEL was on, in hours and vCPU-hours, and how much at once.",
        parameters=USAGE,
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of hours, days or months."""
        question = read_question(request.query_params, self.customer(request))
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(PagesOf(reader(question)), request, view=self)
        return paginator.get_paginated_response(page.rows)

    def customer(self, request: Request) -> User:
        """Return the customer whose usage is asked for."""
        return customer_of(request)


def reader(question: Question) -> Callable[[int, int], tuple[int, list[dict[str, Any]]]]:
    """Return what reads a page of the answer by limit and offset; it raises ValidationError."""

    def read(limit: int, offset: int) -> tuple[int, list[dict[str, Any]]]:
        try:
            return usage(question, limit=limit, offset=offset)
        except BucketsError as error:
            raise ValidationError({error.parameter: [str(error)]}) from error
        except TooManyGroupsError as error:
            message = f"There are more than {MOST_GROUPS} groups."
            raise ValidationError({"group_by": [message]}) from error

    return read
