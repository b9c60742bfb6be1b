"""First steps of an inspection: bring a copy of the image's root disk into our account.

Spec 05 §4.1-§4.3. Each function is the body of a task that may be delivered twice, late, or cut off
anywhere: it looks for what it made before it makes anything.
"""

import logging
from typing import Any

from django.conf import settings
from django.db import transaction

from api import outbox
from api.clouds.aws.arn import parse_arn
from api.clouds.aws.errors import NotReadyError
from api.clouds.aws.inspection import disk_copies
from api.clouds.aws.session import own_account_id
from api.images.changes import create_images
from api.inspection import attempts, shares
from api.inspection.attempts import Work
from api.models import CloudType, ImageFact, InspectionAttempt, MachineImage
from util import postgres
from util.tasks import enqueue

logger = logging.getLogger(__name__)

COPY_SNAPSHOT = "api.clouds.aws.tasks.copy_ami_snapshot"
COPY_IMAGE = "api.clouds.aws.tasks.copy_ami_to_customer_account"
REMOVE_OWNERSHIP = "api.clouds.aws.tasks.remove_snapshot_ownership"
INSPECT = "api.clouds.aws.tasks.inspect_snapshot"
LAUNCH = "api.clouds.aws.tasks.launch_inspection_instance"
DELETE_SNAPSHOT = "api.clouds.aws.tasks.delete_snapshot"

DIRECT = "direct"
"""The method, of AWS_INSPECTION_METHOD, that needs no instance (spec 13 §4)."""


MAX_COPIES = 20
"""Copies of an image that are looked for at once."""


class ForgottenError(Exception):
    """The image was erased, with the last customer who used it, while we worked on it."""


class ImpossibleError(Exception):
    """The image cannot be inspected; ``columns`` is what this told of it."""

    def __init__(self, reason: str, **columns: Any):
        super().__init__(reason)
        self.columns = columns


def copy_ami_snapshot(
    *, arn: str, ami_id: str, region: str, reference_ami_id: str | None = None
) -> None:
    """Copy the root disk of an AMI, or of our copy of ``reference_ami_id``, into our account.

    Raises NotReadyError while there is something to wait for.
    """
    work = attempts.open_work(ami_id=reference_ami_id or ami_id, arn=arn, region=region)
    if work is None:
        return
    if reference_ami_id:
        record_copy(ami_id, of=work.image, region=region)
    with attempts.noting_errors(work.attempt):
        try:
            _bring_copy(work, arn, ami_id, region, is_copy=bool(reference_ami_id))
        except ImpossibleError as error:
            attempts.give_up(work, str(error), **error.columns)
        except ForgottenError as error:
            logger.info("%s", error)


def _bring_copy(work: Work, arn: str, ami_id: str, region: str, *, is_copy: bool) -> None:
    if not work.attempt.snapshot_copy_id:
        source = _share(work, arn, ami_id, region, is_copy=is_copy)
        if source is None:
            enqueue(COPY_IMAGE, arn, ami_id, region)
            return
        _copy(work.attempt, source, region, work.image.cloud_image_id)
    _go_on(work, arn, region)


def _share(work: Work, arn: str, ami_id: str, region: str, *, is_copy: bool) -> str | None:
    """Let us copy the snapshot of an AMI's root disk; gives None if it is not the customer's."""
    ec2 = disk_copies.customer_ec2(arn, region)
    image = disk_copies.load_image(ec2, ami_id)
    if image is None:
        raise ImpossibleError(f"image {ami_id} cannot be loaded")
    snapshot_id = disk_copies.root_snapshot_id(image)
    if snapshot_id is None:
        raise ImpossibleError(f"image {ami_id} has no snapshot of its root device")
    snapshot = disk_copies.load_snapshot(ec2, snapshot_id)
    if snapshot is None:
        if is_copy:
            raise NotReadyError(f"snapshot {snapshot_id} of the copy is not visible yet")
        return None
    if snapshot.get("Encrypted"):
        # An account may be set to encrypt whatever is copied in it: that tells of the copy alone.
        columns = {} if is_copy else {"is_encrypted": True}
        raise ImpossibleError(f"snapshot {snapshot_id} is encrypted", **columns)
    if snapshot["OwnerId"] != parse_arn(arn).account_id and not is_copy:
        return None
    primary = own_account_id()
    # Recorded before it is done, so that no share is ever forgotten.
    if not attempts.note(
        work.attempt,
        customer_snapshot_id=snapshot_id,
        arn=arn,
        region=region,
        share_removed_at=None,
    ):
        raise ForgottenError(f"image {ami_id} was erased")
    shares.record(
        customer_snapshot_id=snapshot_id,
        region=region,
        arn=arn,
        ami_id=work.image.cloud_image_id,
    )
    disk_copies.share(ec2, snapshot_id, account_id=primary)
    return snapshot_id


def _copy(attempt: InspectionAttempt, snapshot_id: str, region: str, ami_id: str) -> None:
    made = disk_copies.find_or_copy_snapshot(
        snapshot_id=snapshot_id, region=region, ami_id=ami_id, attempt=str(attempt.pk)
    )
    if not attempts.claim_copy(attempt, made):
        disk_copies.delete_copy(made)
        if not attempt.snapshot_copy_id:
            enqueue(REMOVE_OWNERSHIP, attempt.arn, snapshot_id, region, made)
            raise ForgottenError(f"image {ami_id} was erased while its disk was copied")


def _go_on(work: Work, arn: str, region: str) -> None:
    """Queue what follows a copy; each of these tasks finds out by itself if it was done before."""
    attempt, ami_id = work.attempt, work.image.cloud_image_id
    copied = attempt.snapshot_copy_id
    with transaction.atomic():
        attempts.note_progress(attempt)
        enqueue(REMOVE_OWNERSHIP, arn, attempt.customer_snapshot_id, region, copied)
        if settings.AWS_INSPECTION_METHOD == DIRECT:
            # Nothing else would repeat it soon.
            outbox.send(f"inspect {copied}", INSPECT, ami_id, copied)
        else:
            enqueue(LAUNCH, ami_id, copied)
        enqueue(
            DELETE_SNAPSHOT,
            copied,
            ami_id,
            region,
            countdown=settings.INSPECTION_SNAPSHOT_CLEAN_UP_INITIAL_DELAY,
        )


def copy_ami_to_customer_account(*, arn: str, reference_ami_id: str, region: str) -> None:
    """Copy somebody else's AMI within the customer's account, so that we may get at its disk.

    We have no right to delete such a copy: one that was made before is used again.
    """
    work = attempts.open_work(ami_id=reference_ami_id, arn=arn, region=region)
    if work is None:
        return
    with attempts.noting_errors(work.attempt):
        ec2 = disk_copies.customer_ec2(arn, region)
        image = disk_copies.load_image(ec2, reference_ami_id)
        if image is None:
            attempts.give_up(work, f"image {reference_ami_id} cannot be loaded")
            return
        try:
            copies = _copies_of(work.image, arn, region)
            # The same for one that was made, and not recorded before its worker was lost.
            token = f"cloudigrade-{work.image.pk}-{len(copies)}"
            copy_id = disk_copies.find_or_copy_image(
                ec2, image, region=region, token=token, copies=copies
            )
        except disk_copies.NotCopyableError as error:
            end = attempts.spare if error.is_sold else attempts.give_up
            end(work, str(error))
            return
        if copy_id is None:
            attempts.give_up(work, f"image {reference_ami_id} vanished")
            return
        with transaction.atomic():
            record_copy(copy_id, of=work.image, region=region)
            attempts.note_progress(work.attempt, copied_ami_id=copy_id)
            enqueue(COPY_SNAPSHOT, arn, copy_id, region, reference_ami_id)


def _copies_of(image: MachineImage, arn: str, region: str) -> list[str]:
    """Return the copies of an AMI that we have made through an account, the newest first."""
    made = InspectionAttempt.objects.filter(machine_image=image, arn=arn, region=region)
    copied = made.exclude(copied_ami_id="").order_by("-id")
    return list(copied.values_list("copied_ami_id", flat=True)[:MAX_COPIES])


@transaction.atomic
def record_copy(ami_id: str, *, of: MachineImage, region: str) -> None:
    """Remember that an AMI in a customer's account is our copy of another (spec 05 §4.3)."""
    create_images(
        images=[
            MachineImage(
                cloud_type=CloudType.AWS,
                cloud_image_id=ami_id,
                reference_image=of,
                owner_aws_account_id=of.owner_aws_account_id,
                region=region,
                platform=MachineImage.Platform.NONE,
                status=MachineImage.Status.PENDING,
            )
        ],
        reason=ImageFact.Reason(ImageFact.Reason.DESCRIBE),
    )
    # The customer may have launched an instance of it, which made us see it first.
    unlinked = MachineImage.objects.filter(
        cloud_type=CloudType.AWS, cloud_image_id=ami_id, reference_image__isnull=True
    )
    unlinked.update(reference_image=of, updated_at=postgres.now())
