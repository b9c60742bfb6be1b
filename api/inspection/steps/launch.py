"""Next step of an inspection: an instance of ours looks into the copied disk (spec 05 §4.4)."""

import logging

from django.conf import settings
from django.db import transaction

from api.clouds.aws.inspection import disk_copies
from api.clouds.aws.inspection.instance import MarketplaceOnlyError, find_or_launch
from api.inspection import attempts
from api.inspection.attempts import Work
from api.inspection.states import InspectionEvent, after
from api.models import InspectionAttempt, MachineImage
from util import postgres

logger = logging.getLogger(__name__)


def launch_inspection_instance(*, ami_id: str, snapshot_copy_id: str) -> None:
    """Launch the inspector of an image, once. Raises NotReadyError until its disk is copied."""
    work = work_on_copy(ami_id=ami_id, snapshot_copy_id=snapshot_copy_id)
    if work is None:
        return
    with attempts.noting_errors(work.attempt):
        if not disk_copies.is_copied(snapshot_copy_id):
            raise disk_copies.SnapshotFailedError(
                f"snapshot copy {snapshot_copy_id} does not exist"
            )
        try:
            instance_id = find_or_launch(ami_id=ami_id, snapshot_copy_id=snapshot_copy_id)
        except MarketplaceOnlyError as error:
            attempts.spare(work, str(error))
            return
    _record(work, instance_id, snapshot_copy_id)


def work_on_copy(*, ami_id: str, snapshot_copy_id: str) -> Work | None:
    """Return what is still to be done with a copy of an image's disk.

    None if an instance has been launched to look into it, or if the attempt that made the copy has
    ended: then it is about to be deleted.
    """
    if is_over(snapshot_copy_id):
        logger.info("The inspection of %s by %s is over", ami_id, snapshot_copy_id)
        return None
    work = attempts.open_work(ami_id=ami_id)
    return None if work is None or work.attempt.inspector_instance_id else work


def is_over(snapshot_copy_id: str) -> bool:
    """Return whether the attempt that made a copy has ended."""
    return InspectionAttempt.objects.filter(
        snapshot_copy_id=snapshot_copy_id, finished_at__isnull=False
    ).exists()


def _producer() -> dict[str, str]:
    """Return what the instance runs, until its result tells more."""
    image = settings.AWS_INSPECTION_IMAGE
    if image:
        name, separator, tag = image.rpartition(":")
        return {"producer_name": name or image, "producer_version": tag if separator else ""}
    return {
        "producer_name": settings.HOUNDIGRADE_ECS_IMAGE_NAME,
        "producer_version": settings.HOUNDIGRADE_ECS_IMAGE_TAG,
    }


def mark_inspecting(work: Work) -> None:
    """Let an image be inspected from now on, unless its result was faster than we are.

    Needs a transaction.
    """
    locked = MachineImage.objects.select_for_update(no_key=True).filter(id=work.image.id)
    for image in locked:
        status = after(image.status, InspectionEvent.LAUNCHED)
        if status is not None:
            locked.update(status=status, updated_at=postgres.now())


@transaction.atomic
def _record(work: Work, instance_id: str, snapshot_copy_id: str) -> None:
    mark_inspecting(work)
    attempts.note_progress(
        work.attempt,
        inspector_instance_id=instance_id,
        snapshot_copy_id=snapshot_copy_id,
        **_producer(),
    )
    logger.info("Instance %s inspects %s", instance_id, work.image.cloud_image_id)
