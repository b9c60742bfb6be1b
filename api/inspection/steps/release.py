"""Last steps of an inspection: give back what it borrowed and made (spec 05 §4.5, §4.6)."""

import logging

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import NotReadyError, code_of, is_throttling
from api.clouds.aws.inspection import disk_copies
from api.inspection import attempts, shares
from api.inspection.states import UNFINISHED
from api.inspection.steps.copy import DELETE_SNAPSHOT
from api.models import InspectionAttempt
from util import postgres
from util.tasks import enqueue

logger = logging.getLogger(__name__)

IN_USE = "InvalidSnapshot.InUse"


def remove_snapshot_ownership(
    *, arn: str, customer_snapshot_id: str, region: str, snapshot_copy_id: str
) -> None:
    """Take our right to the customer's snapshot away as soon as our copy needs it no more.

    Raises NotReadyError until the copy is whole, or until AWS shows the change.
    """
    _wait_for(snapshot_copy_id)
    others = shares.copies_of(customer_snapshot_id) - {snapshot_copy_id}
    if not all(map(_is_done_with, others)):
        logger.info("Another inspection copies %s, and ends its share", customer_snapshot_id)
        return
    shares.end(customer_snapshot_id=customer_snapshot_id, region=region, arn=arn)


def _wait_for(snapshot_copy_id: str) -> None:
    try:
        disk_copies.is_copied(snapshot_copy_id)
    except disk_copies.SnapshotFailedError as error:
        logger.warning("%s; the customer's snapshot is not needed any more", error)


def _is_done_with(snapshot_copy_id: str) -> bool:
    """Return whether a copy needs its original no more; the id is empty where none is made yet.

    Of two inspections that end at the same time each would leave the share to the other if it did
    not ask how far the other's copy has come.
    """
    if not snapshot_copy_id:
        return False
    try:
        _wait_for(snapshot_copy_id)
    except NotReadyError:
        return False
    return True


def delete_snapshot(*, snapshot_copy_id: str, ami_id: str, region: str) -> None:
    """Delete our copy once the image's inspection is over; else look again later."""
    image = attempts.find_image(ami_id)
    if image is not None and image.status in UNFINISHED:
        logger.info("Snapshot copy %s of %s is still needed", snapshot_copy_id, ami_id)
        _look_again(snapshot_copy_id, ami_id, region)
        return
    try:
        discard_copy(snapshot_copy_id)
    except ClientError as error:
        if not is_throttling(error) and code_of(error) != IN_USE:
            raise
        _look_again(snapshot_copy_id, ami_id, region)


def discard_copy(snapshot_copy_id: str) -> None:
    """Delete a snapshot copy of ours, and record that."""
    disk_copies.delete_copy(snapshot_copy_id)
    now = postgres.now()
    InspectionAttempt.objects.filter(
        snapshot_copy_id=snapshot_copy_id, snapshot_deleted_at__isnull=True
    ).update(snapshot_deleted_at=now, updated_at=now)


def _look_again(snapshot_copy_id: str, ami_id: str, region: str) -> None:
    enqueue(
        DELETE_SNAPSHOT,
        snapshot_copy_id,
        ami_id,
        region,
        countdown=settings.INSPECTION_SNAPSHOT_CLEAN_UP_RETRY_DELAY,
    )
