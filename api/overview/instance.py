"""One instance with all that is known of it, on one axis of time (spec 12 §1.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F

from api.models import Correction, Instance, InstanceEvent, Run
from api.trust.timeline import timeline
from util import clock

RUNS_DRAWN = 100
EVENTS_DRAWN = 200


class DrawnSpan(NamedTuple):
    """Something that lasts; without an end it goes on."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class InstanceHistory:
    """What the page shows: the newest runs, unsure spans and events, and a page of the timeline."""

    instance: Instance
    runs: Sequence[DrawnSpan]
    unsure: Sequence[DrawnSpan]
    events: Sequence[tuple[datetime, str]]
    items: Sequence[dict[str, Any]]
    number_of_items: int
    now: datetime


def instance_history(*, instance_id: int, limit: int, offset: int) -> InstanceHistory | None:
    """Return what is known of an instance, None if there is none; eleven statements at most."""
    related = ("cloud_account__user", "machine_image")
    instances = Instance.objects.select_related(*related).defer(
        "machine_image__inspection_json", "machine_image__syspurpose"
    )
    instance = instances.filter(id=instance_id).first()
    if instance is None:
        return None
    number, items = timeline(
        user_id=instance.cloud_account.user_id,
        instance_id=instance_id,
        limit=limit,
        offset=offset,
    )
    runs = Run.objects.filter(instance=instance).order_by("-start_time")
    corrections = Correction.objects.filter(instance=instance, unsure_from__lt=F("unsure_to"))
    unsure = corrections.order_by("-unsure_to").values_list("unsure_from", "unsure_to")
    events = InstanceEvent.objects.filter(instance=instance).order_by("-occurred_at")
    return InstanceHistory(
        instance=instance,
        runs=[DrawnSpan(*row) for row in runs.values_list("start_time", "end_time")[:RUNS_DRAWN]],
        unsure=[DrawnSpan(since, to) for since, to in unsure[:RUNS_DRAWN] if since is not None],
        events=list(events.values_list("occurred_at", "event_type")[:EVENTS_DRAWN]),
        items=items,
        number_of_items=number,
        now=clock.now(),
    )
