"""Load: AMIs as EC2 describes them, those it does not show, and changes of our tags (spec 04 §9.2).

What follows from them, the images' history and the usage that they make stale, is the business of
``api.images``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.clouds.aws.describe import DescribedImage
from api.clouds.aws.knowledge import KnownImage, load_images
from api.clouds.aws.records import OPENSHIFT_TAG, RHEL_TAG, TagChange
from api.images.changes import change_images, create_images
from api.models import CloudType, ImageFact, MachineImage

MARKETPLACE = "marketplace"

Status = MachineImage.Status
Reason = ImageFact.Reason


class WantedImage(NamedTuple):
    """An image to be stored: its description or none, the region, whether it is Windows."""

    ami_id: str
    described: DescribedImage | None
    region: str | None
    is_windows: bool


@dataclass(slots=True)
class SavedImages:
    """What is stored of the wanted images; ``new`` are those first described now."""

    known: dict[str, KnownImage] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)

    def id_of(self, ami_id: str | None) -> int | None:
        """Give the id of an image's row, if there is one."""
        image = self.known.get(ami_id) if ami_id else None
        return image.id if image else None


def save_images(wanted: Iterable[WantedImage]) -> SavedImages:
    """Store images that are not known yet; those that EC2 does not show become stubs.

    A known image is never overwritten, but for one that EC2 did not show before: its row is filled
    in as if it were new (README decision 9).
    """
    by_id = {one.ami_id: one for one in wanted}
    saved = SavedImages(known=load_images(by_id))
    unknown = [by_id[ami_id] for ami_id in sorted(by_id.keys() - saved.known.keys())]
    if unknown:
        created = create_images(
            images=[new_image(one) for one in unknown], reason=Reason(Reason.DESCRIBE)
        )
        saved.new = {
            image.cloud_image_id for image in created if image.status != Status.UNAVAILABLE
        }
        saved.known |= load_images(one.ami_id for one in unknown)
    _fill_stubs(saved, by_id)
    return saved


def _fill_stubs(saved: SavedImages, wanted: Mapping[str, WantedImage]) -> None:
    stubs = {
        image.id: wanted[ami_id]
        for ami_id, image in saved.known.items()
        if image.status == Status.UNAVAILABLE and wanted[ami_id].described
    }
    if not stubs:
        return

    def fill(image: MachineImage) -> None:
        # Another worker may have filled it since we looked.
        if image.status == Status.UNAVAILABLE:
            _describe(image, stubs[image.id])
            saved.new.add(image.cloud_image_id)
            saved.known[image.cloud_image_id] = KnownImage(image.id, image.status)

    change_images(image_ids=stubs, change=fill, reason=Reason.DESCRIBE)


def new_image(wanted: WantedImage) -> MachineImage:
    """Make the row of an image that is not stored yet."""
    image = MachineImage(
        cloud_type=CloudType.AWS,
        cloud_image_id=wanted.ami_id,
        region=wanted.region,
        status=Status.UNAVAILABLE,
    )
    if wanted.described:
        _describe(image, wanted)
    return image


def _describe(image: MachineImage, wanted: WantedImage) -> None:
    described = wanted.described
    assert described is not None
    image.region = wanted.region
    image.owner_aws_account_id = described.owner_id
    image.name = described.name
    image.architecture = described.architecture
    image.product_codes = described.product_codes
    image.platform_details = described.platform_details
    image.usage_operation = described.usage_operation
    image.platform = (
        MachineImage.Platform.WINDOWS if wanted.is_windows else MachineImage.Platform.NONE
    )
    image.marketplace = any(
        code.get("ProductCodeType") == MARKETPLACE for code in described.product_codes or ()
    )
    settled = wanted.is_windows or image.marketplace
    image.status = Status.INSPECTED if settled else Status.PENDING
    image.rhel_detected_by_tag |= RHEL_TAG in described.tags
    image.openshift_detected |= OPENSHIFT_TAG in described.tags


def change_tags(changes: Iterable[TagChange], saved: SavedImages) -> set[str]:
    """Put our tags on images and take them off; of several changes of one tag the latest counts.

    ``changes`` come in the order in which they were written, which decides between those of one
    instant. Those older than what an image has seen already change nothing, so that logs may come
    late or again. Gives the images that have to be inspected now, since only a tag had told what
    they are (spec 04 §8.7, §12).
    """
    latest: dict[tuple[int, str], TagChange] = {}
    for change in sorted(changes, key=lambda one: one.occurred_at):
        image_id = saved.id_of(change.image_id)
        if image_id is not None:
            latest[image_id, change.tag] = change
    uninspected: set[str] = set()

    def change_image(image: MachineImage) -> dict[str, Any] | None:
        was_tagged = image.rhel_detected_by_tag
        done = [
            change
            for tag in (RHEL_TAG, OPENSHIFT_TAG)
            if (change := latest.get((image.id, tag))) and _change_tag(image, change)
        ]
        if was_tagged and not image.rhel_detected_by_tag and _is_uninspected(image):
            image.status = Status.PENDING
            uninspected.add(image.cloud_image_id)
        return {"tags": [_evidence(change) for change in done]} if done else None

    if latest:
        image_ids = {image_id for image_id, _ in latest}
        change_images(image_ids=image_ids, change=change_image, reason=Reason.TAG)
    return uninspected


def _change_tag(image: MachineImage, change: TagChange) -> bool:
    is_rhel = change.tag == RHEL_TAG
    newest = image.rhel_tag_at if is_rhel else image.openshift_tag_at
    if newest is not None and newest > change.occurred_at:
        return False
    if is_rhel:
        image.rhel_detected_by_tag, image.rhel_tag_at = change.present, change.occurred_at
    else:
        image.openshift_detected, image.openshift_tag_at = change.present, change.occurred_at
    return True


def _is_uninspected(image: MachineImage) -> bool:
    """Tell whether an image was spared its inspection for the sake of its tag only."""
    return (
        image.status == Status.INSPECTED
        and not image.inspection_json
        and not image.is_marketplace
        and not image.is_cloud_access
        and image.platform != MachineImage.Platform.WINDOWS
    )


def _evidence(change: TagChange) -> dict[str, Any]:
    return {
        "rule": change.event_name,
        "tag": change.tag,
        "event_id": change.event_id,
        "at": change.occurred_at.isoformat(),
    }
