"""Start the inspection of images (spec 05 §3)."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce

from api.images.users import InspectionRequest, to_requests, untagged_users
from api.inspection import attempts, slots
from api.inspection.states import UNFINISHED, InspectionEvent, after
from api.inspection.steps.copy import COPY_SNAPSHOT
from api.models import CloudAccount, CloudType, ImageTags, InspectionAttempt, MachineImage
from util import postgres
from util.tasks import enqueue

logger = logging.getLogger(__name__)

WAVE = 20
"""Copies that are begun at once: as many snapshots AWS is willing to copy at the same time."""

WAVE_SECONDS = 60

Status = MachineImage.Status


class Decision(NamedTuple):
    """What a start makes of an image."""

    event: InspectionEvent
    is_attempt: bool


def start_inspections(
    starts: Iterable[InspectionRequest], *, untouched_since: datetime | None = None
) -> None:
    """Start inspections of images that need one, each once; settle those that need none.

    An unknown AMI is only logged. What there is to do in AWS is queued when all is committed, in
    waves. Images for which there is no room wait for their turn. A start that is delivered again
    goes on with the attempt that it made the first time.

    ``untouched_since`` makes it a restart: images that something happened to since then are left
    alone, and attempts in progress at the others are taken for lost.
    """
    wanted = {start.ami_id: start for start in starts}
    with transaction.atomic():
        slots.lock()
        images = _locked_images(wanted)
        for ami_id in sorted(wanted.keys() - {image.cloud_image_id for image in images}):
            logger.info("Image %s is not known and cannot be inspected", ami_id)
        if untouched_since is not None:
            images = [image for image in images if image.updated_at < untouched_since]
            running = set[int]()
        else:
            running = _running(images)
        has_to_wait = _begin(images, wanted, running=running)
    if has_to_wait:
        start_waiting()


def start_waiting() -> None:
    """Start the inspections of images whose turn it is, as many as there is room for."""
    with transaction.atomic():
        slots.lock()
        starts = slots.next_requests(slots.free())
        if starts:
            wanted = {start.ami_id: start for start in starts}
            # A result may have come after all.
            images = [one for one in _locked_images(wanted) if one.status == Status.PENDING]
            _begin(images, wanted, in_turn=True)


def _begin(
    images: Sequence[MachineImage],
    wanted: Mapping[str, InspectionRequest],
    *,
    running: Collection[int] = (),
    in_turn: bool = False,
) -> bool:
    """Take the first step with each image; tells whether any has to wait for its turn."""
    wanted, tagged = _heed_tags(images, wanted)
    idle = [image for image in images if image.id not in running]
    attempts.close([image.id for image in idle], outcome=attempts.REPLACED)
    made = _attempts(idle, wanted)
    steps = {
        image: decide(image, attempts=made[image.id], is_tagged=image.id in tagged)
        for image in idle
    }
    to_copy = [image for image, step in steps.items() if step.event is InspectionEvent.STARTED]
    others_come_first = not in_turn and slots.others_wait([image.id for image in images])
    room = 0 if others_come_first or not to_copy else slots.free()
    for image in to_copy[room:]:
        steps[image] = Decision(InspectionEvent.POSTPONED, is_attempt=False)
    _store(steps, wanted)
    # What is being copied already may have been queued by a start that was cut off.
    again = [image for image in images if image.id in running and image.status == Status.PREPARING]
    for place, image in enumerate([*to_copy[:room], *again]):
        enqueue(COPY_SNAPSHOT, *wanted[image.cloud_image_id], countdown=_countdown(place))
    return len(to_copy) > room


def _users_of(arns: Iterable[str]) -> dict[str, int]:
    """Return whose accounts have these roles."""
    accounts = CloudAccount.objects.filter(cloud_type=CloudType.AWS, account_arn__in=set(arns))
    owners = accounts.values_list("account_arn", "user_id")
    return {arn: user_id for arn, user_id in owners if arn is not None}


def _heed_tags(
    images: Iterable[MachineImage], wanted: Mapping[str, InspectionRequest]
) -> tuple[Mapping[str, InspectionRequest], set[int]]:
    """Leave out customers who have told by a tag that an image is RHEL (README decision 52).

    Another customer who uses the image takes the place of such a one. Returns the starts, and the
    images that nobody else uses: those are not looked into.
    """
    arns = {
        image: wanted[image.cloud_image_id].arn for image in images if image.rhel_detected_by_tag
    }
    if not arns:
        return wanted, set()
    user_of = _users_of(arns.values())
    told = set(
        ImageTags.objects.filter(
            rhel=True, machine_image__in=arns, cloud_account__user_id__in=set(user_of.values())
        ).values_list("machine_image_id", "cloud_account__user_id")
    )
    tagged = {image.id for image, arn in arns.items() if (image.id, user_of.get(arn)) in told}
    others = to_requests(untagged_users().filter(machine_image_id__in=tagged))
    taken = {start.ami_id for start in others}
    return (
        {**wanted, **{start.ami_id: start for start in others}},
        {image.id for image in arns if image.id in tagged and image.cloud_image_id not in taken},
    )


def decide(image: MachineImage, *, attempts: int, is_tagged: bool) -> Decision:
    """Decide what a start makes of an image that was attempted so many times before. Pure."""
    if is_tagged:
        return Decision(InspectionEvent.SKIPPED, is_attempt=False)
    if attempts > settings.MAX_ALLOWED_INSPECTION_ATTEMPTS:
        return Decision(InspectionEvent.EXHAUSTED, is_attempt=False)
    if image.is_marketplace or image.is_cloud_access:
        return Decision(InspectionEvent.SKIPPED, is_attempt=True)
    return Decision(InspectionEvent.STARTED, is_attempt=True)


def _countdown(place: int) -> float | None:
    return place // WAVE * WAVE_SECONDS or None


def _locked_images(ami_ids: Iterable[str]) -> list[MachineImage]:
    found = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=list(ami_ids))
    # Results of earlier inspections are large, and nothing here asks for them.
    return list(
        found.select_for_update(no_key=True)
        .order_by("id")
        .only(
            "cloud_image_id",
            "status",
            "updated_at",
            "rhel_detected_by_tag",
            "is_marketplace",
            "is_cloud_access",
        )
    )


def _running(images: Iterable[MachineImage]) -> set[int]:
    """Return the images that are being inspected right now."""
    ids = [image.id for image in images if image.status in UNFINISHED - {Status.PENDING}]
    young = postgres.now() - timedelta(seconds=settings.INSPECT_PENDING_IMAGES_MIN_AGE)
    in_progress = attempts.open_attempts(ids).filter(updated_at__gte=young)
    return set(in_progress.values_list("machine_image_id", flat=True))


def _attempts(
    images: Sequence[MachineImage], wanted: Mapping[str, InspectionRequest]
) -> Counter[int]:
    """Count the attempts at images so far, but for those through accounts of other customers."""
    made = InspectionAttempt.objects.filter(machine_image__in=images, counts=True)
    rows = list(made.values_list("machine_image_id", "arn"))
    arn_of = {image.id: wanted[image.cloud_image_id].arn for image in images}
    user_of = _users_of([*arn_of.values(), *(arn for _, arn in rows)])
    return Counter(
        image_id
        for image_id, arn in rows
        if user_of.get(arn) in (None, user_of.get(arn_of[image_id]))
    )


def _store(steps: Mapping[MachineImage, Decision], wanted: Mapping[str, InspectionRequest]) -> None:
    now = postgres.now()
    by_status: dict[str, list[int]] = {}
    for image, step in steps.items():
        status = after(image.status, step.event)
        if status is not None:
            by_status.setdefault(status, []).append(image.id)
    for target, image_ids in by_status.items():
        waiting = Coalesce("waiting_since", now) if target == Status.PENDING else None
        MachineImage.objects.filter(id__in=image_ids).update(
            status=target, waiting_since=waiting, updated_at=now
        )
    InspectionAttempt.objects.bulk_create(
        [
            InspectionAttempt(
                machine_image=image,
                arn=wanted[image.cloud_image_id].arn,
                region=wanted[image.cloud_image_id].region,
                created_at=now,
                updated_at=now,
                **({} if step.event is InspectionEvent.STARTED else _ended(now)),
            )
            for image, step in steps.items()
            if step.is_attempt
        ],
        batch_size=1000,
    )


def _ended(now: datetime) -> dict[str, str | datetime]:
    return {"outcome": attempts.SPARED, "finished_at": now}
