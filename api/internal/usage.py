"""Stored daily usage, with the runs that it may come from (spec 02 §5.3, 07 §5.1)."""

from functools import cached_property
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import DateTimeField, Func, OuterRef, Q, QuerySet
from django.db.models.functions import TruncDate
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from api.internal import fields, filters
from api.internal.browse import BrowsableResource, browse
from api.metering.count_text import MEMBERS, MaximumCount
from api.metering.staleness import is_unavailable
from api.models import ConcurrentUsage, Run
from api.public.shapes import serializer_of


class MaximumCountsField(serializers.ListField):
    """A day's counts, which are stored as plain lists."""

    def __init__(self) -> None:
        super().__init__(child=serializer_of(MaximumCount)(), read_only=True)

    def to_representation(self, value: list[list[Any]]) -> list[dict[str, Any]]:
        """Name the parts of each count."""
        return [dict(zip(MEMBERS, count, strict=True)) for count in value]


class RunFilter(filters.WholeNumberFilter):
    """The days to which a run belongs."""

    def matching(self, rows: QuerySet, value: Any) -> QuerySet:
        """Keep the rows of the run's user from the day of its start to the day of its end."""
        span = (
            Run.objects.filter(id=value)
            .values_list("cloud_account__user_id", TruncDate("start_time"), TruncDate("end_time"))
            .first()
        )
        if span is None:
            return rows.none()
        user_id, first, last = span
        rows = rows.filter(user_id=user_id, date__gte=first)
        return rows.filter(date__lte=last) if last else rows


def _stored_usage() -> QuerySet:
    return ConcurrentUsage.objects.filter(~is_unavailable())


CONCURRENT_USAGES = BrowsableResource(
    name="concurrentusages",
    model="ConcurrentUsage",
    rows=_stored_usage,
    fields={
        "date": serializers.DateField(read_only=True),
        "user": fields.reference("user"),
        "maximum_counts": MaximumCountsField(),
    },
    filters={
        **filters.days("date"),
        "run": RunFilter("id", help_text="Only the days to which the run with this id belongs."),
        **filters.identity("user"),
        **filters.times(),
    },
    large="maximum_counts",
)


class UsageWithRunsSerializer(CONCURRENT_USAGES.serializer):  # type: ignore[name-defined]
    """A day's usage with the runs of its user that touch the day, counted or not."""

    potentially_related_runs = serializers.ListField(child=fields.integer(), read_only=True)


INCLUDE_RUNS = OpenApiParameter(
    "include_runs",
    description="Whether each row tells, as `potentially_related_runs`, the ids of its runs.",
    enum=("true", "false"),
)


@extend_schema_view(
    list=extend_schema(parameters=[INCLUDE_RUNS]), retrieve=extend_schema(parameters=[INCLUDE_RUNS])
)
class ConcurrentUsagesView(browse(CONCURRENT_USAGES)):  # type: ignore[misc]
    """Browse `concurrentusages`; with `include_runs` each day tells its runs."""

    @cached_property
    def includes_runs(self) -> bool:
        """Whether the runs are wanted. Raises ValidationError for what means neither yes nor no."""
        word = self.request.query_params.get("include_runs")
        if word is None:
            return False
        if word not in _TRUE | _FALSE:
            raise ValidationError(["Must be a valid boolean."])
        return word in _TRUE

    def get_queryset(self) -> QuerySet:
        """Return the days, with their runs if these are wanted."""
        rows = super().get_queryset()
        return (
            rows.annotate(potentially_related_runs=_related_runs()) if self.includes_runs else rows
        )

    def get_serializer_class(self) -> type[serializers.Serializer]:
        """Show the runs if they are wanted."""
        return UsageWithRunsSerializer if self.includes_runs else CONCURRENT_USAGES.serializer


def _spellings(*words: str) -> frozenset[str]:
    return frozenset(
        spelling for word in words for spelling in (word, word.capitalize(), word.upper())
    )


_TRUE = _spellings("1", "t", "y", "yes", "true", "on")
_FALSE = _spellings("0", "f", "n", "no", "false", "off")


class _Midnight(Func):
    """The instant at which a UTC day begins."""

    template = "(%(expressions)s)::timestamp AT TIME ZONE 'UTC'"
    output_field = DateTimeField()


class _NextMidnight(_Midnight):
    """The instant at which a UTC day ends."""

    template = "((%(expressions)s) + 1)::timestamp AT TIME ZONE 'UTC'"


def _related_runs() -> ArraySubquery:
    day = OuterRef("date")
    runs = Run.objects.filter(
        Q(end_time__isnull=True) | Q(end_time__gte=_Midnight(day)),
        cloud_account__user_id=OuterRef("user_id"),
        start_time__lt=_NextMidnight(day),
    )
    return ArraySubquery(runs.order_by("id").values("id"))
