"""Load: AMIs as EC2 describes them, those it does not show, and changes of our tags (spec 04 §9.2).

What follows from them, the images' history and the usage that they make stale, is the business of
``api.images``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from api.clouds.aws.cloudtrail.records import OPENSHIFT_TAG, RHEL_TAG, TagChange
from api.clouds.aws.describe.ec2 import DescribedImage
from api.clouds.aws.selectors import Account, KnownImage, load_images
from api.images import tags, users
from api.images.changes import change_images, create_images
from api.images.facts import is_sold
from api.models import CloudType, ImageFact, MachineImage

_TAGS = {RHEL_TAG: tags.RHEL, OPENSHIFT_TAG: tags.OPENSHIFT}

Status = MachineImage.Status
Reason = ImageFact.Reason


class ShownImage(NamedTuple):
    """What AWS told one of our accounts about an image at a moment; None if nothing."""

    account: Account
    image_id: str
    described: DescribedImage | None
    at: datetime


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
        """Return the id of an image's row, if there is one."""
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
        if image.is_undescribed and wanted[ami_id].described
    }
    if not stubs:
        return

    def fill(image: MachineImage) -> None:
        # Another worker may have filled it since we looked.
        if _is_undescribed(image):
            _describe(image, stubs[image.id])
            saved.new.add(image.cloud_image_id)
            saved.known[image.cloud_image_id] = KnownImage(image.id, image.status)

    change_images(image_ids=stubs, change=fill, reason=Reason.DESCRIBE)


def _is_undescribed(image: MachineImage) -> bool:
    """Return what ``api.clouds.aws.selectors.UNDESCRIBED`` says of a row."""
    if image.status == Status.UNAVAILABLE:
        return True
    is_again = image.status in (Status.PENDING, Status.ERROR) and image.reference_image_id is None
    return is_again and image.owner_aws_account_id is None


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
    image.marketplace = is_sold(described.product_codes)
    settled = wanted.is_windows or image.marketplace
    image.status = Status.INSPECTED if settled else Status.PENDING


def store_tags(
    saved: SavedImages,
    *,
    changes: Iterable[tuple[Account, TagChange]] = (),
    shown: Iterable[ShownImage] = (),
) -> set[int]:
    """Store what logs and descriptions tell of our tags, each for the account that it is from.

    ``changes`` come in the order in which they were written. Returns the images that are RHEL to
    fewer customers than before.
    """
    return tags.store_tags(
        [
            tags.ImageTagChange(
                account.id,
                image_id,
                _TAGS[change.tag],
                change.present,
                change.occurred_at,
                _evidence(change),
            )
            for account, change in changes
            if (image_id := saved.id_of(change.image_id)) is not None
        ],
        [
            tags.SeenTags(
                one.account.id,
                image_id,
                _shown_tags(one.described),
                at=one.at,
                logged_since=one.account.enabled_at or one.at,
            )
            for one in shown
            if (image_id := saved.id_of(one.image_id)) is not None
        ],
    )


def _shown_tags(described: DescribedImage | None) -> frozenset[str] | None:
    if described is None:
        return None
    return frozenset(tag for key, tag in _TAGS.items() if key in described.tags)


def inspect_after_all(
    saved: SavedImages,
    untagged: Collection[int],
    *,
    changes: Iterable[tuple[Account, TagChange]] = (),
) -> None:
    """Inspect images that are settled, though not for all customers who use them.

    To be called when the instances that use them are stored; see ``api.images.users``.
    """
    settled = {image.id for image in saved.known.values() if image.is_settled}
    users.inspect_after_all(
        settled.union(untagged),
        untagged={
            image_id: users.InspectionRequest(account.arn, change.image_id, change.region)
            for account, change in changes
            if (image_id := saved.id_of(change.image_id)) in untagged and image_id is not None
        },
    )


def _evidence(change: TagChange) -> dict[str, Any]:
    return {
        "rule": change.event_name,
        "tag": change.tag,
        "event_id": change.event_id,
        "at": change.occurred_at.isoformat(),
    }
