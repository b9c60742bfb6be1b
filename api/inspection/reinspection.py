"""Inspect an image once more, on an operator's word (spec 05 §7, README decision 22)."""

from django.db import transaction

from api.models import InspectionAttempt, MachineImage
from util import clock


@transaction.atomic
def reinspect_image(*, image_id: int) -> bool:
    """Set an image back to pending, and forget the attempts made so far when counting the next.

    What is known of the image stays, and so does usage, until a new result differs. Returns whether
    there is such an image.
    """
    now = clock.now()
    found = MachineImage.objects.filter(id=image_id).update(
        status=MachineImage.Status.PENDING, updated_at=now
    )
    InspectionAttempt.objects.filter(machine_image_id=image_id, counts=True).update(
        counts=False, updated_at=now
    )
    return bool(found)
