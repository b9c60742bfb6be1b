"""Store what changed about images, with its history and the usage it makes stale.

Spec 05 §1, 07 §7, 09 P6. Nothing else writes the derived columns of stored images, but for
``api.images.tags``, which keeps those that tell of tags on AMIs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from api.images.facts import COUNTED_COLUMNS, apply, is_rhel_for_everybody
from api.metering.staleness import mark_images_stale
from api.models import CloudType, ImageFact, MachineImage
from util import clock, postgres
from util.batches import batched_by_size

IMAGES_AT_ONCE = 500
"""Images that are in memory at the same time."""

LARGE_COLUMNS = ("inspection_json", "syspurpose")
"""Columns that hold up to a megabyte each; they are written but never read here."""

BYTES_AT_ONCE = 4 * 1024 * 1024
"""How much of them is written in one statement."""

FACT_COLUMNS = (*COUNTED_COLUMNS, "rhel_version")

Evidence = dict[str, Any]
Change = Callable[[MachineImage], Evidence | None]


@dataclass(slots=True)
class _Changes:
    """What is to be written about some images."""

    at: datetime
    images: list[MachineImage] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    history: list[ImageFact] = field(default_factory=list)
    recounted: list[int] = field(default_factory=list)
    rejudged: list[int] = field(default_factory=list)
    """Images that are RHEL for everybody now, or no more, and have the same facets as before."""


@transaction.atomic
def change_images(
    *,
    image_ids: Iterable[int],
    change: Change,
    reason: ImageFact.Reason,
    ref: str | Mapping[int, str] = "",
) -> int:
    """Let ``change`` alter each image, then store columns, history and stale usage in one go.

    ``change`` sets stored columns of the image it is given and may return evidence (at most 2 KB of
    JSON) for the history; ``ref`` says for it what taught us, of all images or of each by its id.
    The images are locked in the order of their ids, and read without their inspection results.
    Returns how many images' counted facts changed; usage is withdrawn for those alone (README
    decision 22), and not for customers whose own tags say RHEL before and after (decision 34).
    """
    ids = sorted(set(image_ids))
    ref_of = (lambda image_id: ref) if isinstance(ref, str) else (lambda image_id: ref[image_id])
    changed = 0
    for first in range(0, len(ids), IMAGES_AT_ONCE):
        changes = _Changes(postgres.now())
        for image in lock_images(ids[first : first + IMAGES_AT_ONCE]):
            _change(image, change, changes, reason, ref_of(image.id))
        _store(changes)
        changed += len(changes.recounted) + len(changes.rejudged)
    return changed


def lock_images(image_ids: Sequence[int]) -> list[MachineImage]:
    """Read images without their large columns; nobody else changes them until the commit.

    Whoever locks several images does so in the order of their ids.
    """
    return list(
        MachineImage.objects.select_for_update(no_key=True)
        .filter(id__in=image_ids)
        .defer(*LARGE_COLUMNS)
        .order_by("id")
    )


def _change(
    image: MachineImage, change: Change, changes: _Changes, reason: ImageFact.Reason, ref: str
) -> None:
    before, was_rhel = _state(image), is_rhel_for_everybody(image)
    evidence = change(image)
    after = _state(apply(image))
    changed = {
        column for column in after if column not in before or after[column] != before[column]
    }
    if not changed:
        return
    changes.columns |= changed
    changes.images.append(image)
    image.updated_at = changes.at
    is_rejudged = was_rhel != is_rhel_for_everybody(image)
    if is_rejudged or changed & set(FACT_COLUMNS):
        changes.history.append(fact_of(image, reason=reason, ref=ref, evidence=evidence))
    if changed & set(COUNTED_COLUMNS):
        changes.recounted.append(image.id)
    elif is_rejudged:
        changes.rejudged.append(image.id)


def _store(changes: _Changes) -> None:
    columns = {*changes.columns, "updated_at"}
    with_result = [image for image in changes.images if not image.get_deferred_fields()]
    without = [image for image in changes.images if image.get_deferred_fields()]
    for some in batched_by_size(
        with_result,
        size_of=lambda image: len(image.inspection_json or ""),
        limit=BYTES_AT_ONCE,
        most=IMAGES_AT_ONCE,
    ):
        MachineImage.objects.bulk_update(some, sorted(columns))
    MachineImage.objects.bulk_update(without, sorted(columns.difference(LARGE_COLUMNS)))
    ImageFact.objects.bulk_create(changes.history)
    mark_images_stale(image_ids=changes.recounted)
    mark_images_stale(image_ids=changes.rejudged, but_tagged=True)


def create_images(
    *, images: Iterable[MachineImage], reason: ImageFact.Reason, ref: str = ""
) -> list[MachineImage]:
    """Store images not seen before, with their first facts; those known meanwhile are left alone.

    Returns the images that this call created, with their ids. Two workers that learn of one image
    at the same time end up with one row.
    """
    candidates = list(images)
    if not candidates:
        return []
    now = postgres.now()
    for image in candidates:
        apply(image)
        image.created_at = image.updated_at = now
    rows = _rows_of(candidates)
    known = set(rows.values_list(*_IDENTITY))
    MachineImage.objects.bulk_create(candidates, ignore_conflicts=True, batch_size=500)
    # A row of the same moment that was not there before is ours: another worker's has its own time.
    created = [
        row
        for row in rows.filter(created_at=now)
        if tuple(getattr(row, column) for column in _IDENTITY) not in known
    ]
    ImageFact.objects.bulk_create(
        [fact_of(image, reason=reason, ref=ref, evidence=None) for image in created],
        batch_size=1000,
    )
    return created


_IDENTITY = ("cloud_type", "user_id", "publisher", "offer", "cloud_image_id")


def _rows_of(images: Sequence[MachineImage]) -> QuerySet[MachineImage]:
    """Select what is stored of images; of Azure's, which many customers use, their own rows."""
    wanted = Q()
    for cloud_type in sorted({image.cloud_type for image in images}):
        same = [image for image in images if image.cloud_type == cloud_type]
        ids = {image.cloud_image_id for image in same}
        rows = Q(cloud_type=cloud_type, cloud_image_id__in=ids)
        if cloud_type == CloudType.AZURE:
            rows &= Q(user_id__in={image.user_id for image in same})
        wanted |= rows
    return MachineImage.objects.filter(wanted)


def fact_of(
    image: MachineImage, *, reason: ImageFact.Reason, ref: str, evidence: Evidence | None
) -> ImageFact:
    """Return the history row for an image's present facts, which are those of all customers."""
    return ImageFact(
        machine_image=image,
        valid_from=clock.now(),
        reason=reason,
        ref=ref,
        evidence=evidence or {},
        is_rhel=is_rhel_for_everybody(image),
        **{column: getattr(image, column) for column in FACT_COLUMNS},
    )


def _state(image: MachineImage) -> dict[str, Any]:
    skipped = {"id", "created_at", "updated_at"} | image.get_deferred_fields()
    return {
        column.attname: getattr(image, column.attname)
        for column in MachineImage._meta.concrete_fields
        if column.attname not in skipped
    }
