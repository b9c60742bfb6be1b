"""Transform: from what Azure says to what we remember of it (spec 06 §4.2). Pure functions.

An entry without its essential member raises ``MalformedEntryError``; whatever else is missing, or
is not what it should be, counts as not told.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.images.facts import storable_text

RUNNING = "PowerState/running"
_POWER_STATE = "powerstate/"

FLEXIBLE = "flexible"
"""In lower case: the mode of a scale set whose machines are listed as those outside of any."""

RHEL_TAG = "cloudigrade-rhel-present"
OPENSHIFT_TAG = "cloudigrade-ocp-present"

BYOS_LICENSE = "rhel_byos"
"""In lower case: a subscription of the customer's own, not one that Microsoft bills."""

ID_BYTES = 2000
NAME_BYTES = 600
"""What is longer, in UTF-8, is none of Azure's, and no index of PostgreSQL takes it: an id of 2,000
bytes, or the three names of a marketplace's image, fit."""

TYPE_LENGTH = 64
VM_ID_LENGTH = 64
REGION_LENGTH = 256
ARCHITECTURE_LENGTH = 32
"""Characters that our columns have; what is longer is cut, so that it does not block the others."""

_NOTHING: Mapping[str, Any] = {}


class MalformedEntryError(ValueError):
    """An entry of a list is not what the list is of."""


@dataclass(frozen=True, slots=True)
class ImageKey:
    """Which image of a customer; letter case means nothing to Azure (spec 06 §5.1)."""

    publisher: str
    offer: str
    resource_id: str

    @classmethod
    def of(cls, publisher: str, offer: str, resource_id: str) -> "ImageKey":
        """Make the key of any spelling."""
        return cls(publisher.lower(), offer.lower(), resource_id.lower())


@dataclass(frozen=True, slots=True)
class ImageReference:
    """What a machine says it was made from."""

    id: str | None
    publisher: str | None
    offer: str | None
    sku: str | None
    version: str | None
    exact_version: str | None
    shared_gallery_image_id: str | None
    community_gallery_image_id: str | None

    @property
    def resource_id(self) -> str | None:
        """Return the SKU, or the id of an image of the customer's own or of a gallery."""
        return (
            self.sku or self.id or self.shared_gallery_image_id or self.community_gallery_image_id
        )

    @property
    def key(self) -> ImageKey | None:
        """Return the identity; None for a reference to nothing."""
        if self.sku:
            return ImageKey.of(self.publisher or "", self.offer or "", self.sku)
        return ImageKey.of("", "", self.resource_id) if self.resource_id else None

    @property
    def name(self) -> str | None:
        """Return the SKU, or the last part of the image's id."""
        return self.sku or (self.resource_id or "").rstrip("/").rpartition("/")[2] or None

    @property
    def is_byos_offer(self) -> bool:
        """Return whether Red Hat publishes it for customers who bring their own subscription."""
        return (self.publisher or "").lower() == "redhat" and "byos" in (self.offer or "").lower()

    def dump(self) -> str:
        """Return it as the text that the APIs show as inspection result (spec 06 §5.1)."""
        reference: dict[str, Any] = {
            "additional_properties": {},
            "id": self.id,
            "publisher": self.publisher,
            "offer": self.offer,
            "sku": self.sku,
            "version": self.version,
            "exact_version": self.exact_version,
            "shared_gallery_image_id": self.shared_gallery_image_id,
            "community_gallery_image_id": self.community_gallery_image_id,
        }
        return json.dumps({"image_reference": reference})


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine, inside or outside of a scale set."""

    resource_id: str
    vm_id: str | None
    region: str
    size: str | None
    image: ImageReference | None
    plan: tuple[str | None, str | None, str | None] | None
    """Name, publisher and product of the marketplace's plan, if it was bought there."""
    is_encrypted: bool
    has_rhel_tag: bool
    has_openshift_tag: bool
    license_type: str | None
    is_spot: bool
    zone: str | None

    @property
    def key(self) -> str:
        """Return what this machine is known by; letter case means nothing to Azure."""
        return self.resource_id.lower()

    @property
    def image_key(self) -> ImageKey | None:
        """Return the identity of its image, if it tells one."""
        return self.image.key if self.image else None

    @property
    def is_byos(self) -> bool:
        """Return whether it runs RHEL on its owner's own subscription (README decision 10)."""
        by_license = (self.license_type or "").lower() == BYOS_LICENSE
        return by_license or (self.image is not None and self.image.is_byos_offer)


@dataclass(frozen=True, slots=True)
class ScaleSet:
    """A scale set, whose machines have to be asked for unless it is flexible."""

    resource_id: str
    resource_group: str
    name: str
    is_flexible: bool

    @property
    def key(self) -> str:
        """Return what it is known by; the keys of its machines begin with it."""
        return self.resource_id.rstrip("/").lower()


def machine(entry: Any) -> Machine:
    """Read an entry of V1 or V4. Raises ``MalformedEntryError`` for one without id."""
    resource_id = resource_id_of(entry)
    properties = _mapping(entry, "properties")
    storage = _mapping(properties, "storageProfile")
    tags = _mapping(entry, "tags")
    hardware, sku = _mapping(properties, "hardwareProfile"), _mapping(entry, "sku")
    return Machine(
        resource_id=resource_id,
        vm_id=(_text(properties, "vmId", VM_ID_LENGTH) or "").lower() or None,
        region=_text(entry, "location", REGION_LENGTH) or "",
        size=_text(hardware, "vmSize", TYPE_LENGTH) or _text(sku, "name", TYPE_LENGTH),
        image=_image_reference(_mapping(storage, "imageReference")),
        plan=_plan(entry),
        is_encrypted=_is_encrypted(_mapping(storage, "osDisk")),
        has_rhel_tag=RHEL_TAG in tags,
        has_openshift_tag=OPENSHIFT_TAG in tags,
        license_type=_identifier(properties, "licenseType", NAME_BYTES),
        is_spot=(_text(properties, "priority") or "").lower() == "spot",
        zone=_zone(entry),
    )


def is_running(entry: Any) -> bool | None:
    """Read the state from an entry of V2 or V4; None where Azure does not say (decision 51).

    Only a status of the kind ``PowerState`` in its instance view tells. An exact
    ``PowerState/running`` is running, any other is not.
    """
    statuses = _mapping(_mapping(entry, "properties"), "instanceView").get("statuses")
    codes = [
        status.get("code")
        for status in (statuses if isinstance(statuses, list) else ())
        if isinstance(status, Mapping)
    ]
    told = {
        code for code in codes if isinstance(code, str) and code.lower().startswith(_POWER_STATE)
    }
    return RUNNING in told if told else None


def scale_set(entry: Any) -> ScaleSet:
    """Read an entry of V3. Raises ``MalformedEntryError``."""
    resource_id = resource_id_of(entry)
    parts = resource_id.split("/")
    own_name = resource_id.rstrip("/").rpartition("/")[2]
    name = _text(entry, "name") or own_name
    # Of a set with two names it is not certain whose machines would be listed.
    is_certain = name.lower() == own_name.lower()
    if len(parts) < 5 or not is_certain or not (parts[4].strip(".") and name.strip(".")):
        raise MalformedEntryError(f"{resource_id!r} is not the id of a scale set")
    mode = _text(_mapping(entry, "properties"), "orchestrationMode") or ""
    return ScaleSet(resource_id, parts[4], name, is_flexible=mode.lower() == FLEXIBLE)


def scale_set_of(key: str) -> str | None:
    """Return the key of the scale set that a machine is in, by the machine's key; None if none."""
    parent, _, _ = key.rpartition("/virtualmachines/")
    return parent if "/virtualmachinescalesets/" in parent else None


def architecture(versions: Any) -> str | None:
    """Read the architecture from an image's versions (I1), of which the first decides."""
    first = versions[0] if isinstance(versions, list) and versions else None
    if not isinstance(first, Mapping):
        return None
    return _text(_mapping(first, "properties"), "architecture", ARCHITECTURE_LENGTH)


def resource_id_of(entry: Any) -> str:
    """Return an entry's id as Azure spells it. Raises ``MalformedEntryError`` if there is none."""
    identifier = _identifier(entry, "id", ID_BYTES) if isinstance(entry, Mapping) else None
    if not identifier:
        raise MalformedEntryError("an entry without a usable id")
    return identifier


def _image_reference(reference: Mapping[str, Any]) -> ImageReference | None:
    found = ImageReference(
        id=_identifier(reference, "id", ID_BYTES),
        publisher=_identifier(reference, "publisher", NAME_BYTES),
        offer=_identifier(reference, "offer", NAME_BYTES),
        sku=_identifier(reference, "sku", NAME_BYTES),
        version=_identifier(reference, "version", NAME_BYTES),
        exact_version=_identifier(reference, "exactVersion", NAME_BYTES),
        shared_gallery_image_id=_identifier(reference, "sharedGalleryImageId", ID_BYTES),
        community_gallery_image_id=_identifier(reference, "communityGalleryImageId", ID_BYTES),
    )
    return found if found.key else None


def _plan(entry: Mapping[str, Any]) -> tuple[str | None, str | None, str | None] | None:
    plan = entry.get("plan")
    if not isinstance(plan, Mapping):
        return None
    name, publisher, product = (
        _identifier(plan, part, NAME_BYTES) for part in ("name", "publisher", "product")
    )
    return name, publisher, product


def _is_encrypted(disk: Mapping[str, Any]) -> bool:
    settings = disk.get("encryptionSettings")
    return isinstance(settings, Mapping) and settings.get("enabled") is not False


def _zone(entry: Mapping[str, Any]) -> str | None:
    zones = entry.get("zones")
    first = zones[0] if isinstance(zones, list) and zones else None
    return _clean(first)[:TYPE_LENGTH] if isinstance(first, str) else None


def _mapping(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, Mapping) else _NOTHING


def _text(entry: Mapping[str, Any], name: str, length: int | None = None) -> str | None:
    value = entry.get(name)
    return _clean(value)[:length] or None if isinstance(value, str) else None


def _identifier(entry: Mapping[str, Any], name: str, most_bytes: int) -> str | None:
    """Read a text that is not cut: one that is too long is another one's, or nobody's."""
    text = _text(entry, name)
    return text if text and len(text.encode()) <= most_bytes else None


def _clean(text: str) -> str:
    """Make a text one that PostgreSQL can store: without NUL and halves of characters."""
    return storable_text(text).encode(errors="replace").decode()
