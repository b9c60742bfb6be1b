"""Start the inspection of images (spec 05 §3)."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from celery import current_app
from django.conf import settings
from django.db import transaction

from api.models import CloudType, InspectionAttempt, MachineImage
from util import clock
from util.tasks import enqueue

logger = logging.getLogger(__name__)

COPY = "api.clouds.aws.tasks.copy_ami_snapshot"

Status = MachineImage.Status


class Start(NamedTuple):
    """An AMI that is to be inspected, and the role and region in which it was found."""

    arn: str
    ami_id: str
    region: str


class Step(NamedTuple):
    """What a start makes of an image."""

    status: str
    is_attempt: bool


def start_inspections(starts: Iterable[Start]) -> None:
    """Start inspections of images that need one, each once; settle those that need none.

    An unknown AMI is only logged. What there is to do in AWS is queued when all is committed.
    """
    wanted = {start.ami_id: start for start in starts}
    with transaction.atomic():
        images = _locked_images(wanted)
        for ami_id in sorted(wanted.keys() - {image.cloud_image_id for image in images}):
            logger.info("Image %s is not known and can not be inspected", ami_id)
        attempts = _attempts(images)
        steps = {image: first_step(image, attempts=attempts[image.id]) for image in images}
        to_copy = [image for image, step in steps.items() if step.status == Status.PREPARING]
        if COPY not in current_app.tasks:
            # Without the task that goes on with it an image waits as it is.
            steps = {image: steps[image] for image in images if image not in to_copy}
            to_copy = []
        _store(steps, wanted)
        for image in to_copy:
            enqueue(COPY, *wanted[image.cloud_image_id])


def first_step(image: MachineImage, *, attempts: int) -> Step:
    """Decide what a start makes of an image that was attempted so many times before. Pure."""
    if image.rhel_detected_by_tag:
        return Step(Status.INSPECTED, is_attempt=False)
    if attempts > settings.MAX_ALLOWED_INSPECTION_ATTEMPTS:
        return Step(Status.ERROR, is_attempt=False)
    if image.is_marketplace or image.is_cloud_access:
        return Step(Status.INSPECTED, is_attempt=True)
    return Step(Status.PREPARING, is_attempt=True)


def _locked_images(ami_ids: Iterable[str]) -> list[MachineImage]:
    found = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=list(ami_ids))
    return list(found.select_for_update(no_key=True).order_by("id"))


def _attempts(images: Iterable[MachineImage]) -> Counter[int]:
    made = InspectionAttempt.objects.filter(machine_image__in=images, counts=True)
    return Counter(made.values_list("machine_image_id", flat=True))


def _store(steps: Mapping[MachineImage, Step], wanted: Mapping[str, Start]) -> None:
    now = clock.now()
    by_status: dict[str, list[int]] = {}
    for image, step in steps.items():
        by_status.setdefault(step.status, []).append(image.id)
    for status, image_ids in by_status.items():
        MachineImage.objects.filter(id__in=image_ids).update(status=status, updated_at=now)
    InspectionAttempt.objects.bulk_create(
        InspectionAttempt(
            machine_image=image,
            arn=wanted[image.cloud_image_id].arn,
            region=wanted[image.cloud_image_id].region,
        )
        for image, step in steps.items()
        if step.is_attempt
    )
