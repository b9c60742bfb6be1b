"""Start inspections again that got stuck, or never began (spec 05 §7)."""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet

from api.inspection.start import Start, start_inspections
from api.inspection.states import UNFINISHED
from api.models import CloudType, Instance
from util import clock

BATCH = 500
"""Images whose inspections are started in one transaction."""


def inspect_pending_images() -> None:
    """Start what was left alone for too long, and is used by an account that is metered.

    Attempts count, so that an image that can not be inspected ends in error some day.
    """
    since = clock.now() - timedelta(seconds=settings.INSPECT_PENDING_IMAGES_MIN_AGE)
    users = users_of_images().filter(
        machine_image__status__in=UNFINISHED, machine_image__updated_at__lt=since
    )
    starts = to_starts(users)
    for first in range(0, len(starts), BATCH):
        start_inspections(starts[first : first + BATCH], untouched_since=since)


def users_of_images() -> QuerySet[Instance]:
    """Select instances through whose accounts an image can be inspected."""
    return Instance.objects.filter(
        machine_image__cloud_type=CloudType.AWS,
        cloud_account__cloud_type=CloudType.AWS,
        cloud_account__is_enabled=True,
        cloud_account__platform_application_is_paused=False,
        cloud_account__is_synthetic=False,
    )


def to_starts(users: QuerySet[Instance]) -> list[Start]:
    """Give one start for each image, by the oldest of the instances that use it."""
    chosen: Iterable[tuple[str, str, str]] = (
        users.order_by("machine_image_id", "id")
        .distinct("machine_image_id")
        .values_list("cloud_account__account_arn", "machine_image__cloud_image_id", "region")
    )
    return [Start(*one) for one in chosen]
