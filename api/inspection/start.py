"""Start the inspection of images (spec 05 §3)."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from api.inspection import attempts
from api.inspection.copying import COPY_SNAPSHOT
from api.inspection.states import UNFINISHED, Event, after
from api.models import CloudType, InspectionAttempt, MachineImage
from util import clock
from util.tasks import enqueue

logger = logging.getLogger(__name__)

WAVE = 20
"""Copies that are begun at once: as many snapshots AWS is willing to copy at the same time."""

WAVE_SECONDS = 60

Status = MachineImage.Status


class Start(NamedTuple):
    """An AMI that is to be inspected, and the role and region in which it was found."""

    arn: str
    ami_id: str
    region: str


class Step(NamedTuple):
    """What a start makes of an image."""

    event: Event
    is_attempt: bool


def start_inspections(starts: Iterable[Start], *, untouched_since: datetime | None = None) -> None:
    """Start inspections of images that need one, each once; settle those that need none.

    An unknown AMI is only logged. What there is to do in AWS is queued when all is committed, in
    waves. A start that is delivered again goes on with the attempt that it made the first time.

    ``untouched_since`` makes it a restart: images that something happened to since then are left
    alone, and attempts in progress at the others are taken for lost.
    """
    wanted = {start.ami_id: start for start in starts}
    with transaction.atomic():
        images = _locked_images(wanted)
        for ami_id in sorted(wanted.keys() - {image.cloud_image_id for image in images}):
            logger.info("Image %s is not known and can not be inspected", ami_id)
        if untouched_since is not None:
            images = [image for image in images if image.updated_at < untouched_since]
            running = set[int]()
        else:
            running = _running(images)
        made = _attempts(images)
        steps = {
            image: first_step(image, attempts=made[image.id])
            for image in images
            if image.id not in running
        }
        _store(steps, wanted)
        to_copy = [image for image, step in steps.items() if step.event is Event.STARTED]
        to_copy += [
            image for image in images if image.id in running and image.status == Status.PREPARING
        ]
        for place, image in enumerate(to_copy):
            enqueue(COPY_SNAPSHOT, *wanted[image.cloud_image_id], countdown=_countdown(place))


def first_step(image: MachineImage, *, attempts: int) -> Step:
    """Decide what a start makes of an image that was attempted so many times before. Pure."""
    if image.rhel_detected_by_tag:
        return Step(Event.SPARED, is_attempt=False)
    if attempts > settings.MAX_ALLOWED_INSPECTION_ATTEMPTS:
        return Step(Event.EXHAUSTED, is_attempt=False)
    if image.is_marketplace or image.is_cloud_access:
        return Step(Event.SPARED, is_attempt=True)
    return Step(Event.STARTED, is_attempt=True)


def _countdown(place: int) -> float | None:
    return place // WAVE * WAVE_SECONDS or None


def _locked_images(ami_ids: Iterable[str]) -> list[MachineImage]:
    found = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=list(ami_ids))
    return list(found.select_for_update(no_key=True).order_by("id"))


def _running(images: Iterable[MachineImage]) -> set[int]:
    """Give the images that are being inspected right now."""
    ids = [image.id for image in images if image.status in UNFINISHED - {Status.PENDING}]
    young = clock.now() - timedelta(seconds=settings.INSPECT_PENDING_IMAGES_MIN_AGE)
    in_progress = attempts.open_attempts(ids).filter(updated_at__gte=young)
    return set(in_progress.values_list("machine_image_id", flat=True))


def _attempts(images: Iterable[MachineImage]) -> Counter[int]:
    made = InspectionAttempt.objects.filter(machine_image__in=images, counts=True)
    return Counter(made.values_list("machine_image_id", flat=True))


def _store(steps: Mapping[MachineImage, Step], wanted: Mapping[str, Start]) -> None:
    now = clock.now()
    by_status: dict[str, list[int]] = {}
    for image, step in steps.items():
        status = after(image.status, step.event)
        if status is not None:
            by_status.setdefault(status, []).append(image.id)
    for target, image_ids in by_status.items():
        MachineImage.objects.filter(id__in=image_ids).update(status=target, updated_at=now)
    attempts.close([image.id for image in steps], outcome=attempts.REPLACED)
    InspectionAttempt.objects.bulk_create(
        [
            InspectionAttempt(
                machine_image=image,
                arn=wanted[image.cloud_image_id].arn,
                region=wanted[image.cloud_image_id].region,
                **({} if step.event is Event.STARTED else _ended(now)),
            )
            for image, step in steps.items()
            if step.is_attempt
        ],
        batch_size=1000,
    )


def _ended(now: datetime) -> dict[str, str | datetime]:
    return {"outcome": attempts.SPARED, "finished_at": now}
