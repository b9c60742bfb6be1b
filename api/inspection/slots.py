"""Whose turn it is to be inspected: only so many inspections are in progress at once (05 §11.7).

Images above the limit stay pending, and remember since when they wait. The customers' accounts take
turns, so that one with thousands of images holds nobody else up.
"""

from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber

from api.images.users import InspectionRequest, is_tagged, to_requests, users_of_images
from api.models import InspectionAttempt, Instance, MachineImage
from util import locks, postgres

STALE_AFTER = timedelta(hours=2)
"""How long an attempt of which nothing is heard takes up room; inspectors end after one hour."""

_LOCK = "inspections"


def lock() -> None:
    """Become the only one to begin inspections, until the transaction ends.

    To be called before images are locked.
    """
    locks.lock(_LOCK, "begin")


def free() -> int:
    """Return how many inspections may begin now. Holds as long as the lock does."""
    in_progress = InspectionAttempt.objects.filter(
        finished_at__isnull=True, outcome="", updated_at__gte=postgres.now() - STALE_AFTER
    )
    return max(0, int(settings.MAX_CONCURRENT_INSPECTIONS) - in_progress.count())


def others_wait(image_ids: Collection[int]) -> bool:
    """Return whether images other than these wait for their turn, and can be inspected."""
    return waiting_images().filter(Exists(_users())).exclude(id__in=image_ids).exists()


def next_requests(number: int) -> list[InspectionRequest]:
    """Return the images that are next: one of each account, then the second of each, and so on."""
    first_user = _users().alias(is_tagged=is_tagged()).order_by("is_tagged", "id")
    turns = (
        waiting_images()
        .annotate(
            user_instance=Subquery(first_user.values("id")[:1]),
            account=Subquery(first_user.values("cloud_account_id")[:1]),
        )
        .filter(user_instance__isnull=False)
        .annotate(
            turn=Window(RowNumber(), partition_by=F("account"), order_by=["waiting_since", "id"])
        )
        .order_by("turn", "waiting_since", "id")
        .values_list("user_instance", flat=True)
    )
    return to_requests(users_of_images().filter(id__in=list(turns[:number])))


def waiting_images() -> QuerySet[MachineImage]:
    """Select the images that wait for their turn."""
    return MachineImage.objects.filter(
        status=MachineImage.Status.PENDING, waiting_since__isnull=False
    )


def _users() -> QuerySet[Instance]:
    return users_of_images().filter(machine_image=OuterRef("pk"))
