"""Who uses an AMI, and through whose account it is inspected (spec 05 §3, README decision 52)."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from api.models import CloudType, ImageTags, Instance, MachineImage
from util import clock
from util.tasks import enqueue

START_INSPECTIONS = "api.tasks.start_image_inspections"

SKIPPED = Q(
    cloud_type=CloudType.AWS,
    status=MachineImage.Status.INSPECTED,
    inspection_json__isnull=True,
    is_marketplace=False,
    is_cloud_access=False,
) & ~Q(platform=MachineImage.Platform.WINDOWS)
"""Images that were not inspected for the sake of a customer's RHEL tag only."""


class Start(NamedTuple):
    """An AMI that is to be inspected, and the role and region in which it was found."""

    arn: str
    ami_id: str
    region: str


def users_of_images() -> QuerySet[Instance]:
    """Select instances through whose accounts an image can be inspected."""
    return Instance.objects.filter(
        machine_image__cloud_type=CloudType.AWS,
        cloud_account__cloud_type=CloudType.AWS,
        cloud_account__is_enabled=True,
        cloud_account__platform_application_is_paused=False,
        cloud_account__is_synthetic=False,
    )


def untagged_users() -> QuerySet[Instance]:
    """Select those whose customer has not told by a tag that the image is RHEL."""
    return users_of_images().exclude(is_tagged())


def is_tagged() -> Exists:
    """Tell, in a query of instances, whether the customer has put the RHEL tag on the image."""
    return Exists(
        ImageTags.objects.filter(
            rhel=True,
            machine_image=OuterRef("machine_image"),
            cloud_account__user=OuterRef("cloud_account__user"),
        )
    )


def to_starts(users: QuerySet[Instance]) -> list[Start]:
    """Return one start for each image, by the oldest instance that uses it.

    Customers who have not put the RHEL tag on the image come first: a tag may mean that we are not
    to look inside.
    """
    chosen = (
        users.alias(is_tagged=is_tagged())
        .order_by("machine_image_id", "is_tagged", "id")
        .distinct("machine_image_id")
        .values_list("cloud_account__account_arn", "machine_image__cloud_image_id", "region")
    )
    return [Start(*one) for one in chosen]


def skipped_but_used() -> list[int]:
    """Return the images that only a tag had settled, and that customers use without it."""
    skipped = MachineImage.objects.filter(SKIPPED, rhel_detected_by_tag=True)
    users = untagged_users().filter(machine_image__in=skipped)
    return list(
        users.order_by("machine_image_id").values_list("machine_image_id", flat=True).distinct()
    )


@transaction.atomic
def inspect_skipped(
    image_ids: Collection[int], *, untagged: Mapping[int, Start] | None = None
) -> None:
    """Send images to inspection that only a tag had settled, and that customers use without it.

    ``untagged`` are images that just lost a tag: those that have no other one are inspected even if
    nobody uses them (spec 05 §11.10). To be called when the instances that use them are stored.
    """
    images = MachineImage.objects.filter(SKIPPED, id__in=image_ids)
    locked = list(
        images.select_for_update(no_key=True)
        .order_by("id")
        .values_list("id", "cloud_image_id", "rhel_detected_by_tag")
    )
    if not locked:
        return
    ids = {ami_id: image_id for image_id, ami_id, _ in locked}
    starts = {
        image_id: (untagged or {})[image_id]
        for image_id, _, is_rhel in locked
        if not is_rhel and image_id in (untagged or {})
    }
    found = to_starts(untagged_users().filter(machine_image_id__in=ids.values()))
    starts |= {ids[start.ami_id]: start for start in found}
    MachineImage.objects.filter(id__in=starts).update(
        status=MachineImage.Status.PENDING, waiting_since=None, updated_at=clock.now()
    )
    if starts:
        enqueue(START_INSPECTIONS, [starts[image_id] for image_id in sorted(starts)])
