"""Store what changed about images, with its history and the usage it makes stale.

Spec 05 §1, 07 §7, 09 P6. Nothing else writes the derived columns of stored images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from api.images.facts import COUNTED_COLUMNS, apply
from api.metering.staleness import mark_images_stale
from api.models import CloudType, ImageFact, MachineImage
from util import clock

FACT_COLUMNS = (*COUNTED_COLUMNS, "rhel_version")

Evidence = dict[str, Any]


@transaction.atomic
def change_images(
    *,
    image_ids: Iterable[int],
    change: Callable[[MachineImage], Evidence | None],
    reason: ImageFact.Reason,
    ref: str | Mapping[int, str] = "",
) -> int:
    """Let ``change`` alter each image, then store columns, history and stale usage in one go.

    ``change`` sets stored columns of the image it is given and may return evidence (at most 2 KB of
    JSON) for the history; ``ref`` says for it what taught us, of all images or of each by its id.
    The images are locked in the order of their ids. Returns how many images' counted facts changed;
    usage is withdrawn for those alone (README decision 22).
    """
    ref_of = (lambda image_id: ref) if isinstance(ref, str) else (lambda image_id: ref[image_id])
    images = list(
        MachineImage.objects.select_for_update(no_key=True)
        .filter(id__in=list(image_ids))
        .order_by("id")
    )
    history: list[ImageFact] = []
    recounted: list[int] = []
    written: list[MachineImage] = []
    columns: set[str] = set()
    for image in images:
        before = _state(image)
        evidence = change(image)
        after = _state(apply(image))
        changed = {column for column in after if after[column] != before[column]}
        if not changed:
            continue
        columns |= changed
        written.append(image)
        image.updated_at = clock.now()
        if changed & set(FACT_COLUMNS):
            history.append(fact_of(image, reason=reason, ref=ref_of(image.id), evidence=evidence))
        if changed & set(COUNTED_COLUMNS):
            recounted.append(image.id)
    if written:
        MachineImage.objects.bulk_update(written, [*sorted(columns), "updated_at"], batch_size=500)
    ImageFact.objects.bulk_create(history, batch_size=1000)
    mark_images_stale(image_ids=recounted)
    return len(recounted)


def create_images(
    *, images: Iterable[MachineImage], reason: ImageFact.Reason, ref: str = ""
) -> list[MachineImage]:
    """Store images not seen before, with their first facts; those known meanwhile are left alone.

    Returns the images that this call created, with their ids. Two workers that learn of one image
    at the same time end up with one row.
    """
    now = clock.now()
    candidates = list(images)
    if not candidates:
        return []
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
    """Make the history row for an image's present facts."""
    return ImageFact(
        machine_image=image,
        valid_from=clock.now(),
        reason=reason,
        ref=ref,
        evidence=evidence or {},
        **{column: getattr(image, column) for column in FACT_COLUMNS},
    )


def _state(image: MachineImage) -> dict[str, Any]:
    skipped = {"id", "created_at", "updated_at"}
    return {
        field.attname: getattr(image, field.attname)
        for field in MachineImage._meta.concrete_fields
        if field.attname not in skipped
    }
