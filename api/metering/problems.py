"""Runs that are open although their instance was switched off (spec 07 §9)."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from api.metering.runs import recalculate_runs
from api.models import InstanceEvent, Run
from api.models.instance import event_rank_expression


def problematic_runs(*, user_id: int | None = None) -> QuerySet[Run]:
    """Select open runs with a power-off of their instance after they began, in the order of ids.

    A power-off at the very moment at which a run begins ends it only if no power-on of that moment
    comes after it (07 §3.1, decision 37).
    """
    # A subquery for each of the open runs is one step into the index of events; EXISTS would be
    # turned into a join that reads all events there are.
    ending = _ending_power_offs().values("id")[:1]
    runs = Run.objects.alias(ending=Subquery(ending)).filter(
        ending__isnull=False, end_time__isnull=True
    )
    runs = runs.order_by("id")
    return runs if user_id is None else runs.filter(cloud_account__user_id=user_id)


def fix_problematic_runs(*, run_ids: Iterable[int]) -> None:
    """Recalculate the instances of those runs that do not end at their first power-off.

    Runs that are gone, that no power-off follows, or that end there already are left alone.
    """
    first_off = _ending_power_offs().order_by("occurred_at").values("occurred_at")[:1]
    runs = (
        Run.objects.filter(id__in=run_ids)
        .annotate(right_end=Subquery(first_off))
        .filter(Q(end_time__isnull=True) | ~Q(end_time=F("right_end")), right_end__isnull=False)
        .order_by("cloud_account__user_id")
        .values_list("cloud_account__user_id", "instance_id")
    )
    for user_id, group in groupby(runs, itemgetter(0)):
        recalculate_runs(user_id=user_id, instance_ids=[instance_id for _, instance_id in group])


def _ending_power_offs() -> QuerySet[InstanceEvent]:
    """Select the power-offs that end the run of an outer query."""
    ranked = InstanceEvent.objects.alias(rank=event_rank_expression())
    later_power_on = ranked.filter(
        Q(rank__gt=OuterRef("rank")) | Q(rank=OuterRef("rank"), id__gt=OuterRef("id")),
        instance=OuterRef("instance"),
        occurred_at=OuterRef("occurred_at"),
        event_type=InstanceEvent.Type.POWER_ON,
    )
    return ranked.filter(
        Q(occurred_at__gt=OuterRef("start_time"))
        | Q(Q(occurred_at=OuterRef("start_time")) & ~Exists(later_power_on)),
        instance=OuterRef("instance"),
        occurred_at__gte=OuterRef("start_time"),
        event_type=InstanceEvent.Type.POWER_OFF,
    )
