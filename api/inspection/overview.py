"""What operators see of inspections: images by state, with age and last error."""

from collections.abc import Collection
from typing import NamedTuple

from django.db.models import Count, F, Min, OuterRef, QuerySet, Subquery

from api.inspection import slots
from api.models import CloudType, InspectionAttempt, MachineImage
from util import postgres

Status = MachineImage.Status

SHOWN: tuple[str, ...] = (
    Status.PENDING,
    Status.PREPARING,
    Status.INSPECTING,
    Status.ERROR,
)
"""What wants attention, or will."""


class StateOfInspections(NamedTuple):
    """How many AMIs are in a status, and for how many seconds the oldest has been left alone."""

    status: str
    images: int
    oldest_seconds: float


class Slots(NamedTuple):
    """How many images wait for their turn, and how many inspections may begin right now."""

    waiting: int
    room: int


def images_to_show(
    *, statuses: Collection[str] = (), ami_ids: Collection[str] = (), outcome: str = ""
) -> QuerySet[MachineImage]:
    """Select AMIs with ``attempts``, ``last_outcome`` and ``last_error``, the oldest first.

    By default those whose inspection has not ended, or ended in error; with an outcome those whose
    last attempt had it.
    """
    last = InspectionAttempt.objects.filter(machine_image=OuterRef("id")).order_by("-id")
    counted = (
        InspectionAttempt.objects.filter(machine_image=OuterRef("id"), counts=True)
        .order_by()
        .values("machine_image")
        .annotate(made=Count("id"))
        .values("made")
    )
    images = MachineImage.objects.filter(cloud_type=CloudType.AWS)
    if ami_ids:
        images = images.filter(cloud_image_id__in=ami_ids)
    elif not outcome or statuses:
        images = images.filter(status__in=statuses or SHOWN, reference_image__isnull=True)
    images = images.annotate(
        attempts=Subquery(counted),
        last_outcome=Subquery(last.values("outcome")[:1]),
        last_error=Subquery(last.values("error")[:1]),
    )
    if outcome:
        images = images.filter(last_outcome=outcome)
    return images.defer("inspection_json", "syspurpose").order_by("updated_at", "id")


def slots_now() -> Slots:
    """Return whether the limit of inspections in progress holds any up."""
    return Slots(waiting=slots.waiting_images().count(), room=slots.free())


def states() -> list[StateOfInspections]:
    """Count the AMIs whose inspection has not ended, and those in error, by status."""
    now = postgres.now()
    found = (
        MachineImage.objects.filter(
            cloud_type=CloudType.AWS, status__in=SHOWN, reference_image__isnull=True
        )
        .values_list("status")
        .annotate(images=Count("id"), oldest=Min(F("updated_at")))
    )
    known = {status: (images, oldest) for status, images, oldest in found}
    return [
        StateOfInspections(
            status=status,
            images=known[status][0] if status in known else 0,
            oldest_seconds=(now - known[status][1]).total_seconds() if status in known else 0.0,
        )
        for status in SHOWN
    ]
