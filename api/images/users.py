"""Who uses an AMI, and through whose account it is inspected (spec 05 §3, README decision 52).

Whatever one customer's account tells of an image that others use as well, their tags, or that we
may not look into it there, never keeps it from being inspected for the others.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from api.images.changes import change_images
from api.images.facts import MARKETPLACE, is_sold
from api.models import (
    CloudAccount,
    CloudType,
    ImageFact,
    ImageTags,
    InspectionAttempt,
    Instance,
    MachineImage,
)
from util.tasks import enqueue

START_INSPECTIONS = "api.tasks.start_image_inspections"

Status = MachineImage.Status

SKIPPED = Q(
    cloud_type=CloudType.AWS,
    status=Status.INSPECTED,
    inspection_json__isnull=True,
    is_marketplace=False,
    is_cloud_access=False,
) & ~Q(platform=MachineImage.Platform.WINDOWS)
"""Images that were not inspected for the sake of a customer's RHEL tag only."""


class InspectionRequest(NamedTuple):
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


def neglected_users() -> QuerySet[Instance]:
    """Select those of an image that is settled, though not for their customers.

    It was not inspected because of another customer's tag, or could not be through other customers'
    accounts, which says nothing about this one's.
    """
    skipped = MachineImage.objects.filter(SKIPPED)
    in_vain = MachineImage.objects.filter(
        cloud_type=CloudType.AWS, status=Status.ERROR, is_encrypted=False
    )
    # Others may not copy what is public, and AWS words it as for what is sold.
    refused = MachineImage.objects.filter(
        ~Q(product_codes__contains=[{"ProductCodeType": MARKETPLACE}]),
        cloud_type=CloudType.AWS,
        status=Status.INSPECTED,
        inspection_json__isnull=True,
        marketplace=True,
        owner_aws_account_id=OuterRef("cloud_account__aws_account_id"),
    )
    by_others = Q(_was_tried()) & ~Q(_was_tried(by_the_customer=True))
    return untagged_users().filter(
        Q(machine_image__in=skipped)
        | (by_others & (Q(machine_image__in=in_vain) | Q(machine_image__in=refused)))
    )


def _was_tried(*, by_the_customer: bool = False) -> Exists:
    """Return, in a query of instances, whether their images' inspections were ever begun."""
    made = InspectionAttempt.objects.filter(machine_image=OuterRef("machine_image"))
    if by_the_customer:
        own = CloudAccount.objects.filter(user=OuterRef(OuterRef("cloud_account__user")))
        made = made.filter(arn__in=own.values("account_arn"))
    return Exists(made)


def is_tagged() -> Exists:
    """Return, in a query of instances, whether the customer has put the RHEL tag on the image."""
    return Exists(
        ImageTags.objects.filter(
            rhel=True,
            machine_image=OuterRef("machine_image"),
            cloud_account__user=OuterRef("cloud_account__user"),
        )
    )


def to_requests(users: QuerySet[Instance]) -> list[InspectionRequest]:
    """Return one start for each image, by one of the instances that use it.

    Customers who have not put the RHEL tag on the image come first: a tag may mean that we are not
    to look inside. Then comes the account by which it was tried least often, then the owner's, then
    that of the oldest instance.
    """
    made = InspectionAttempt.objects.filter(
        machine_image=OuterRef("machine_image"),
        arn=OuterRef("cloud_account__account_arn"),
        counts=True,
    )
    tried = made.order_by().values("arn").annotate(times=Count("id")).values("times")
    owned = Q(cloud_account__aws_account_id=F("machine_image__owner_aws_account_id"))
    chosen = (
        users.alias(
            is_tagged=is_tagged(),
            tried=Coalesce(Subquery(tried), 0),
            is_foreign=Case(When(owned, then=False), default=True),
        )
        .order_by("machine_image_id", "is_tagged", "tried", "is_foreign", "id")
        .distinct("machine_image_id")
        .values_list("cloud_account__account_arn", "machine_image__cloud_image_id", "region")
    )
    return [
        InspectionRequest(arn, image_id, region)
        for arn, image_id, region in chosen
        if arn is not None
    ]


def neglected_images() -> list[int]:
    """Return the images that have users for whom they are not settled.

    Those that were never inspected without any tag on them were settled by something else.
    """
    plain = Q(
        machine_image__status=Status.INSPECTED,
        machine_image__rhel_detected_by_tag=False,
        machine_image__marketplace=False,
    )
    users = neglected_users().exclude(plain).order_by("machine_image_id")
    return list(users.values_list("machine_image_id", flat=True).distinct())


@transaction.atomic
def inspect_after_all(
    image_ids: Collection[int], *, untagged: Mapping[int, InspectionRequest] | None = None
) -> None:
    """Send images to inspection that are settled, though not for all customers who use them.

    ``untagged`` are images that just lost a tag: those that only a tag had settled, and that have
    no other one, are inspected even if nobody uses them (spec 05 §11.10). To be called when the
    instances that use the images are stored.
    """
    if not image_ids:
        return
    images = MachineImage.objects.filter(
        id__in=image_ids, cloud_type=CloudType.AWS, status__in=(Status.INSPECTED, Status.ERROR)
    )
    locked = images.select_for_update(no_key=True).order_by("id")
    ids = dict(locked.values_list("cloud_image_id", "id"))
    starts = {ids[one.ami_id]: one for one in _of_nobody(ids.values(), untagged or {})}
    found = to_requests(neglected_users().filter(machine_image_id__in=ids.values()))
    starts |= {ids[one.ami_id]: one for one in found}
    if starts:
        change_images(image_ids=starts, change=_reopen, reason=ImageFact.Reason.DESCRIBE)
        enqueue(START_INSPECTIONS, [starts[image_id] for image_id in sorted(starts)])


def _of_nobody(
    image_ids: Collection[int], untagged: Mapping[int, InspectionRequest]
) -> list[InspectionRequest]:
    """Return starts for images that no tag keeps from being inspected any more."""
    skipped = MachineImage.objects.filter(
        SKIPPED, id__in=untagged.keys() & set(image_ids), rhel_detected_by_tag=False
    )
    return [untagged[image_id] for image_id in skipped.values_list("id", flat=True)]


def _reopen(image: MachineImage) -> None:
    image.status = Status.PENDING
    image.waiting_since = None
    image.marketplace = is_sold(image.product_codes)
