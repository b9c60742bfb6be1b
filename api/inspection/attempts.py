"""The record of each inspection: what it made, how it went, how it ended (spec 05 §11.3, 09 P7).

Ids are recorded before, or in the transaction in which, anything depends on them, so that work that
is delivered again, or was cut off, goes on where it stopped.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from api.clouds.aws.errors import NotReadyError, is_throttling
from api.clouds.provider import TransientCloudError
from api.images.changes import LARGE_COLUMNS, change_images
from api.inspection.states import UNFINISHED, InspectionEvent, after
from api.models import CloudType, ImageFact, InspectionAttempt, MachineImage
from util import postgres
from util.time_limit import TimeLimitReached

logger = logging.getLogger(__name__)

MAX_ERROR = 1000
"""Characters of an error that are kept."""

INSPECTED = "inspected"
INCONCLUSIVE = "inconclusive"
SPARED = "spared"
FAILED = "failed"
REPLACED = "replaced"
LOST = "lost"
UNASKED = "unasked"
"""Outcomes of attempts, as operators see them."""

STALLED = "stalled"
"""Shown as the outcome of an attempt in progress whose last step failed, and is not repeated.

It takes up no room among the inspections in progress, and ends when the image is started again.
"""


class Work(NamedTuple):
    """An image on which there is something to do, and the attempt that it belongs to."""

    image: MachineImage
    attempt: InspectionAttempt


def find_image(ami_id: str) -> MachineImage | None:
    """Return what is stored of an AMI."""
    images = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id=ami_id)
    return images.defer(*LARGE_COLUMNS).first()


@transaction.atomic
def open_work(*, ami_id: str, arn: str = "", region: str = "") -> Work | None:
    """Return an image that waits for its inspection, with the attempt in progress.

    A task that an operator calls by name has no attempt to belong to; it gets one that does not
    count. None, and a line in the log, for an image that is unknown or already done with.
    """
    image = (
        MachineImage.objects.select_for_update(no_key=True)
        .filter(cloud_type=CloudType.AWS, cloud_image_id=ami_id)
        .defer(*LARGE_COLUMNS)
        .first()
    )
    if image is None:
        logger.warning("Image %s is not known (any more) and is not inspected", ami_id)
        return None
    if image.status not in UNFINISHED:
        logger.info("Image %s is %s already", ami_id, image.status)
        return None
    attempt = open_attempts([image.id]).order_by("-id").first()
    if attempt is None:
        now = postgres.now()
        attempt = InspectionAttempt.objects.create(
            machine_image=image,
            arn=arn,
            region=region,
            counts=False,
            created_at=now,
            updated_at=now,
        )
    return Work(image, attempt)


def open_attempts(image_ids: Iterable[int]) -> QuerySet[InspectionAttempt]:
    """Select the attempts at these images that have not ended."""
    return InspectionAttempt.objects.filter(
        machine_image_id__in=list(image_ids), finished_at__isnull=True
    )


def note(attempt: InspectionAttempt, **columns: Any) -> bool:
    """Record something about an attempt; False if it was erased together with its image."""
    found = _row(attempt).update(**columns, updated_at=postgres.now())
    for name, value in columns.items():
        setattr(attempt, name, value)
    return bool(found)


def note_progress(attempt: InspectionAttempt, **columns: Any) -> None:
    """Record that a step succeeded, and what it made."""
    note(attempt, **columns, error="")
    _row(attempt).filter(outcome=STALLED).update(outcome="")


def claim_copy(attempt: InspectionAttempt, snapshot_copy_id: str) -> bool:
    """Make a snapshot copy the attempt's own; False if another worker's came first.

    ``attempt.snapshot_copy_id`` is then the other's, or empty if the attempt was erased.
    """
    unclaimed = _row(attempt).filter(snapshot_copy_id="")
    unclaimed.update(snapshot_copy_id=snapshot_copy_id, updated_at=postgres.now())
    claimed = _row(attempt).values_list("snapshot_copy_id", flat=True).first()
    attempt.snapshot_copy_id = claimed or ""
    return claimed == snapshot_copy_id


def name_of(attempt: InspectionAttempt) -> str:
    """Name an attempt as what taught us something about its image (09 P6)."""
    return f"attempt {attempt.pk}"


def _row(attempt: InspectionAttempt) -> QuerySet[InspectionAttempt]:
    return InspectionAttempt.objects.filter(id=attempt.id)


@contextmanager
def noting_errors(attempt: InspectionAttempt) -> Iterator[None]:
    """Let an attempt remember why a step of it failed, or what it waits for."""
    try:
        yield
    except (Exception, TimeLimitReached) as error:
        note(attempt, error=f"{type(error).__name__}: {error}"[:MAX_ERROR])
        if not is_repeated(error):
            open_attempts([attempt.machine_image_id]).filter(id=attempt.id).update(outcome=STALLED)
        raise


def is_repeated(error: BaseException) -> bool:
    """Return whether a task that fails so is tried again by itself (spec 05 §4)."""
    return isinstance(error, NotReadyError | TransientCloudError) or is_throttling(error)


def close(image_ids: Iterable[int], *, outcome: str, error: str = "") -> None:
    """End the attempts in progress at these images."""
    now = postgres.now()
    reason = {"error": error[:MAX_ERROR]} if error else {}
    open_attempts(image_ids).update(outcome=outcome, finished_at=now, updated_at=now, **reason)


@transaction.atomic
def settle(work: Work, event: InspectionEvent, *, outcome: str, error: str, **columns: Any) -> None:
    """End an inspection without a result, and store what it told of the image nevertheless."""
    settled = []

    def change(image: MachineImage) -> None:
        status = after(image.status, event)
        if status is None:
            return
        settled.append(image.id)
        image.status = status
        for name, value in columns.items():
            setattr(image, name, value)

    change_images(
        image_ids=[work.image.id],
        change=change,
        reason=ImageFact.Reason.INSPECTION,
        ref=name_of(work.attempt),
    )
    close(settled, outcome=outcome, error=error)
    logger.info("Inspection of %s ends: %s", work.image.cloud_image_id, error)


def give_up(work: Work, reason: str, **columns: Any) -> None:
    """End an inspection that is impossible."""
    settle(work, InspectionEvent.GIVEN_UP, outcome=FAILED, error=reason, **columns)


def spare(work: Work, reason: str) -> None:
    """End an inspection of an image that is sold on the marketplace, or to everybody."""
    settle(work, InspectionEvent.COMPLETED, outcome=SPARED, error=reason, marketplace=True)
