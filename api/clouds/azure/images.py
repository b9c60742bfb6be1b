"""Load: the images of a customer's machines (spec 06 §5.1, README decision 25).

An image has a record for each customer who uses it.
"""

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey
from api.clouds.azure.verdict import ImageVerdict, SeenImage, judge, see
from api.images.changes import change_images, create_images
from api.models import CloudAccount, CloudType, ImageFact, MachineImage

LICENSE_DETECTION = "license"


def known_architectures(user_id: int) -> set[ImageKey]:
    """Return the customer's images that Azure need not be asked about."""
    images = _images_of(user_id).filter(architecture__isnull=False)
    names = images.values_list("publisher", "offer", "cloud_image_id")
    return {ImageKey.of(*name) for name in names}


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What a poll has to say about the images of a customer."""

    account: CloudAccount
    scan: Scan
    run_id: int
    """Of the record of the poll."""
    unaccounted: Set[int]
    """Images of machines that the poll could not see: no mark of theirs ends by it."""

    def is_complete_for(self, image: MachineImage) -> bool:
        """Check whether a mark that no listed machine carries is carried by none."""
        return self.scan.has_all_machines and image.id not in self.unaccounted

    def judge(
        self, image: MachineImage, key: ImageKey, seen: SeenImage | None, account_ids: set[int]
    ) -> ImageVerdict:
        """Return what follows for an image; ``account_ids`` are all accounts of the customer."""
        return judge(
            ImageVerdict.of(image),
            seen.marks if seen else None,
            self.scan.architectures.get(key),
            account_id=self.account.id,
            all_account_ids=account_ids,
            is_complete=self.is_complete_for(image),
            by_license=settings.AZURE_RHEL_DETECTION == LICENSE_DETECTION,
        )


def store_images(evidence: ImageEvidence) -> dict[ImageKey, int]:
    """Store what a scan teaches about images; return the ids of all that its machines have.

    To be called in a transaction that holds the lock of the account's user.
    """
    seen = see(evidence.scan.machines.values())
    stored = {
        ImageKey.of(image.publisher, image.offer, image.cloud_image_id): image
        for image in _images_of(evidence.account.user_id).defer("inspection_json")
    }
    created = _create(evidence, {key: seen[key] for key in seen if key not in stored})
    _change(evidence, stored, seen)
    return {key: (stored.get(key) or created[key]).id for key in seen}


def _images_of(user_id: int) -> QuerySet[MachineImage]:
    return MachineImage.objects.filter(user_id=user_id, cloud_type=CloudType.AZURE)


def _create(
    evidence: ImageEvidence, seen: Mapping[ImageKey, SeenImage]
) -> dict[ImageKey, MachineImage]:
    account_ids = {evidence.account.id}
    by_reason: dict[str, list[MachineImage]] = defaultdict(list)
    for key, image in seen.items():
        new = _new_image(evidence.account, image)
        verdict = evidence.judge(new, key, image, account_ids)
        verdict.write(new)
        tagged = verdict.rhel_detected_by_tag or verdict.openshift_detected
        by_reason[ImageFact.Reason.TAG if tagged else ImageFact.Reason.DESCRIBE].append(new)
    created = [
        image
        for reason, images in by_reason.items()
        for image in create_images(
            images=images, reason=ImageFact.Reason(reason), ref=str(evidence.run_id)
        )
    ]
    return {
        ImageKey.of(image.publisher, image.offer, image.cloud_image_id): image for image in created
    }


def _new_image(account: CloudAccount, seen: SeenImage) -> MachineImage:
    machine, reference = seen.machine, seen.machine.image
    assert reference is not None
    assert reference.resource_id is not None
    from_marketplace = reference.sku is not None
    return MachineImage(
        cloud_type=CloudType.AZURE,
        user_id=account.user_id,
        publisher=(reference.publisher or "") if from_marketplace else "",
        offer=(reference.offer or "") if from_marketplace else "",
        cloud_image_id=reference.resource_id,
        name=reference.name,
        region=machine.region,
        marketplace=machine.plan is not None,
        is_encrypted=machine.is_encrypted,
        inspection_json=reference.dump(),
    )


def _change(
    evidence: ImageEvidence,
    stored: Mapping[ImageKey, MachineImage],
    seen: Mapping[ImageKey, SeenImage],
) -> None:
    """Judge again the images that the account's machines have, or had at the last poll."""
    account = evidence.account
    own = str(account.id)
    concerned = {
        key: image
        for key, image in stored.items()
        if key in seen or (own in image.marks_by_account and evidence.is_complete_for(image))
    }
    account_ids = set(
        CloudAccount.objects.filter(user_id=account.user_id).values_list("id", flat=True)
    )
    by_reason: dict[str, dict[int, ImageVerdict]] = defaultdict(dict)
    for key, image in concerned.items():
        before = ImageVerdict.of(image)
        after = evidence.judge(image, key, seen.get(key), account_ids)
        if after != before:
            by_reason[_reason(before, after)][image.id] = after
    for reason, verdicts in by_reason.items():
        change_images(
            image_ids=verdicts,
            change=partial(_write_one, verdicts),
            reason=ImageFact.Reason(reason),
            ref=str(evidence.run_id),
        )


def _reason(before: ImageVerdict, after: ImageVerdict) -> str:
    flags = ("rhel_detected_by_tag", "openshift_detected")
    tagged = any(getattr(before, flag) != getattr(after, flag) for flag in flags)
    return ImageFact.Reason.TAG if tagged else ImageFact.Reason.DESCRIBE


def _write_one(verdicts: Mapping[int, ImageVerdict], image: MachineImage) -> dict[str, Any]:
    verdict = verdicts[image.id]
    verdict.write(image)
    return {"rule": "marks of machines", "marks": verdict.marks_by_account}
