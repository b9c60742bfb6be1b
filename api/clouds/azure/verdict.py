"""Transform: what machines say of the images that they have (spec 06 §4.3, §5.1). Pure functions.

What they say, by tags and licences, is kept by account, since a poll sees one subscription and
a customer may have several.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from api.clouds.azure.transform import OPENSHIFT_TAG, RHEL_TAG, ImageKey, Machine
from api.models import MachineImage

BYOS = "licence"
"""Mark of a machine with a subscription of its owner's own, beside the two tags."""


@dataclass(slots=True)
class SeenImage:
    """What a scan saw of an image."""

    machine: Machine
    """The first one that has it."""
    marks: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """The columns of an image that polls may change."""

    rhel_detected_by_tag: bool
    rhel_detected_by_license: bool
    openshift_detected: bool
    architecture: str | None
    marks_by_account: dict[str, list[str]]

    @classmethod
    def of(cls, image: MachineImage) -> "ImageVerdict":
        """Take what is stored."""
        return cls(**{column.name: getattr(image, column.name) for column in fields(cls)})

    def write(self, image: MachineImage) -> None:
        """Set the columns."""
        for column in fields(self):
            setattr(image, column.name, getattr(self, column.name))


def see(machines: Iterable[Machine]) -> dict[ImageKey, SeenImage]:
    """Gather what the listed machines say of their images."""
    seen: dict[ImageKey, SeenImage] = {}
    for machine in machines:
        if machine.image_key is not None:
            image = seen.setdefault(machine.image_key, SeenImage(machine))
            image.marks.update(marks_of(machine))
    return seen


def marks_of(machine: Machine) -> set[str]:
    """Return what a machine says of its image."""
    told = {
        RHEL_TAG: machine.has_rhel_tag,
        OPENSHIFT_TAG: machine.has_openshift_tag,
        BYOS: machine.is_byos,
    }
    return {mark for mark, carried in told.items() if carried}


def judge(
    before: ImageVerdict,
    marks: set[str] | None,
    architecture: str | None,
    *,
    account_id: int,
    all_account_ids: set[int],
    is_complete: bool,
    by_license: bool,
) -> ImageVerdict:
    """Return what follows from a scan for an image.

    ``marks`` are those of the account's machines, None if none of them has the image any more. An
    incomplete list can add marks but not take any away. What no machine of any account has keeps
    its flags.
    """
    own = str(account_id)
    alive = {str(number) for number in all_account_ids}
    by_account = {
        account: set(carried)
        for account, carried in before.marks_by_account.items()
        if account in alive
    }
    if is_complete:
        by_account.pop(own, None)
    if marks is not None:
        by_account[own] = by_account.get(own, set()) | marks
    everything = set().union(*by_account.values())
    judged = bool(by_account)
    return ImageVerdict(
        rhel_detected_by_tag=RHEL_TAG in everything if judged else before.rhel_detected_by_tag,
        rhel_detected_by_license=(
            by_license and BYOS in everything if judged else before.rhel_detected_by_license
        ),
        openshift_detected=OPENSHIFT_TAG in everything if judged else before.openshift_detected,
        architecture=before.architecture or architecture,
        marks_by_account={account: sorted(by_account[account]) for account in sorted(by_account)},
    )
