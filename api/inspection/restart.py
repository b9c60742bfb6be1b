"""Start inspections again that got stuck, never began, or wait for their turn (spec 05 §7)."""

from datetime import timedelta

from django.conf import settings

from api.images.users import inspect_after_all, neglected_images, to_requests, users_of_images
from api.inspection.request import start_inspections, start_waiting
from api.inspection.states import UNFINISHED
from util import postgres

BATCH = 500
"""Images whose inspections are started in one transaction."""


def inspect_pending_images() -> None:
    """Start what waits for its turn, and what was left alone for too long.

    Only images count that an account uses which is metered. Attempts count, so that an image that
    cannot be inspected ends in error some day. Images that are settled by what one customer told,
    or through one customer's accounts, are inspected for others who use them.
    """
    start_waiting()
    inspect_after_all(neglected_images())
    since = postgres.now() - timedelta(seconds=settings.INSPECT_PENDING_IMAGES_MIN_AGE)
    users = users_of_images().filter(
        machine_image__status__in=UNFINISHED,
        machine_image__waiting_since__isnull=True,
        machine_image__updated_at__lt=since,
    )
    starts = to_requests(users)
    for first in range(0, len(starts), BATCH):
        start_inspections(starts[first : first + BATCH], untouched_since=since)
