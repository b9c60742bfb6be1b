"""Inspect images again, when an operator asks for it (spec 05 §7, README decision 22)."""

from collections.abc import Iterable

from django.db import transaction

from api.images.users import START_INSPECTIONS, to_requests, users_of_images
from api.inspection import attempts
from api.inspection.states import TRANSITIONS, InspectionEvent
from api.models import InspectionAttempt, MachineImage
from util import postgres
from util.tasks import enqueue


def reinspect_image(*, image_id: int) -> bool:
    """Set an image back to pending and start its inspection; tells whether there is such an image.

    See ``reinspect_images``.
    """
    return bool(reinspect_images(image_ids=[image_id]))


@transaction.atomic
def reinspect_images(*, image_ids: Iterable[int]) -> int:
    """Set images back to pending, and forget the attempts made so far when counting the next.

    What is known of them stays, and so does usage, until a new result differs. After the commit the
    inspection starts, or waits for its turn, of each AMI that an instance of an enabled, not paused
    account uses. Gives how many images there were.
    """
    ids = list(image_ids)
    now = postgres.now()
    images = MachineImage.objects.filter(id__in=ids)
    # In the order in which everybody locks them.
    locked = list(images.select_for_update(no_key=True).order_by("id").values_list("id", flat=True))
    found = images.update(
        status=TRANSITIONS[InspectionEvent.ASKED_AGAIN].target, waiting_since=None, updated_at=now
    )
    attempts.close(locked, outcome=attempts.REPLACED)
    InspectionAttempt.objects.filter(machine_image_id__in=locked, counts=True).update(
        counts=False, updated_at=now
    )
    starts = to_requests(users_of_images().filter(machine_image_id__in=locked))
    if starts:
        enqueue(START_INSPECTIONS, starts)
    return found
