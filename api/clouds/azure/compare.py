"""Transform: from what we knew and what a scan saw to what must be written (06 §5.2, §5.3). Pure.

What is not different is not written. A machine whose state Azure does not tell gets no event. What
Azure shows as stopped ends, whatever else failed; what it does not show ends only if it would have
been shown (decisions 33 and 51).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey, Machine
from api.models import InstanceEvent

POWER_ON = InstanceEvent.Type.POWER_ON
POWER_OFF = InstanceEvent.Type.POWER_OFF
ATTRIBUTE_CHANGE = InstanceEvent.Type.ATTRIBUTE_CHANGE


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What is kept of a machine whenever it changes, although nothing is decided by it (09 P14)."""

    instance_type: str | None = None
    licenses: list[str] | None = None
    lifecycle: str | None = None
    zone: str | None = None
    image: dict[str, Any] | None = None

    @classmethod
    def of(cls, machine: Machine) -> "MachineFacts":
        """Take the facts from a machine."""
        return cls(
            instance_type=machine.size,
            licenses=[machine.license_type] if machine.license_type else None,
            lifecycle="spot" if machine.is_spot else None,
            zone=machine.zone,
            image=_image(machine),
        )


def _image(machine: Machine) -> dict[str, Any] | None:
    told: dict[str, Any] = {}
    if (image := machine.image) is not None:
        told = {"publisher": image.publisher, "offer": image.offer, "sku": image.sku}
        if not image.sku:
            told["id"] = image.resource_id
    if machine.plan is not None:
        told["plan"] = dict(zip(("name", "publisher", "product"), machine.plan, strict=True))
    return {name: value for name, value in told.items() if value is not None} or None


@dataclass(frozen=True, slots=True)
class KnownMachine:
    """What is stored of an instance before the scan is."""

    id: int
    image_id: int | None
    power: str | None = None
    """Type of its last power event."""
    power_origin: str | None = None
    """Where we know that one from."""
    changed_at: datetime | None = None
    """When its last event of any type occurred."""
    size: str | None = None
    """The last one that an event told."""
    facts: MachineFacts | None = None
    vm_id: str | None = None
    """Of the machine that last had this name; None if we were never told."""

    def is_replaced_by(self, machine: Machine) -> bool:
        """Check whether another machine has the name by now (decision 33)."""
        return None not in {self.vm_id, machine.vm_id} and self.vm_id != machine.vm_id


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event to be stored, of the machine with the key."""

    key: str
    event_type: str
    occurred_at: datetime
    instance_type: str | None


@dataclass(slots=True)
class Changes:
    """What must be written."""

    appeared: list[Machine] = field(default_factory=list)
    relinked: dict[int, int | None] = field(default_factory=dict)
    """Instances with the id of the image they have now."""
    former_images: dict[int, tuple[datetime, int | None]] = field(default_factory=dict)
    """Until when such instances had which other one, as far as runs from before are of it."""
    vm_ids: dict[str, str] = field(default_factory=dict)
    """By the keys of instances, where they are others than are stored."""
    ends: list[SeenEvent] = field(default_factory=list)
    """Power-offs of instances that are known; they happened before anything else changed."""
    others: list[SeenEvent] = field(default_factory=list)
    facts: dict[str, MachineFacts] = field(default_factory=dict)
    """By the keys of instances."""

    @property
    def events(self) -> list[SeenEvent]:
        """All events, in the order in which they are stored."""
        return self.ends + self.others

    def __bool__(self) -> bool:
        """Return whether anything is to be written."""
        changed = (self.appeared, self.relinked, self.vm_ids, self.ends, self.others, self.facts)
        return any(changed)

    def add(self, event: SeenEvent) -> None:
        """Add an event of an instance that is known."""
        (self.ends if event.event_type == POWER_OFF else self.others).append(event)


def compare(
    known: Mapping[str, KnownMachine],
    scan: Scan,
    *,
    image_ids: Mapping[ImageKey, int],
    now: datetime,
) -> Changes:
    """Return how the stored instances of a subscription differ from a scan of it.

    ``known`` are all instances of the account by ``Machine.key``; ``now`` is when the events occur.
    """
    changes = Changes()
    elsewhere = _running_elsewhere(known, scan)
    for key, machine in scan.machines.items():
        instance, running = known.get(key), scan.states.get(key)
        if machine.vm_id in elsewhere:
            running = None
        image_id = image_ids.get(machine.image_key) if machine.image_key else None
        if instance is None:
            _add_new(changes, machine, running, now)
        elif not _is_undecided(instance, machine, running):
            _add_differences(changes, instance, machine, running, image_id, now)
    for key, instance in known.items():
        if key not in scan.machines and (event := _unlisted(key, instance, scan, now)):
            changes.add(event)
    return changes


def _running_elsewhere(known: Mapping[str, KnownMachine], scan: Scan) -> set[str]:
    """Return the ``vmId`` of machines that only the list of states shows, as running.

    One that is listed with such an id is the same machine under a second name.
    """
    return {
        instance.vm_id
        for key, instance in known.items()
        if instance.vm_id and key not in scan.machines and scan.states.get(key)
    }


def unaccounted_images(known: Mapping[str, KnownMachine], scan: Scan) -> set[int]:
    """Return the images of instances of which a scan says neither what they are nor that they left.

    What these instances had said of their images still holds.
    """
    images = set()
    for key, instance in known.items():
        machine = scan.machines.get(key)
        if machine is None:
            is_accounted_for = scan.is_gone(key)
        else:
            is_accounted_for = not _is_undecided(instance, machine, scan.states.get(key))
        if instance.image_id is not None and not is_accounted_for:
            images.add(instance.image_id)
    return images


def _is_undecided(instance: KnownMachine, machine: Machine, running: bool | None) -> bool:
    """Check whether a machine was replaced by one whose state is not known.

    Then a later poll ends the one and begins the other.
    """
    return running is None and instance.is_replaced_by(machine)


def _add_new(changes: Changes, machine: Machine, running: bool | None, now: datetime) -> None:
    changes.appeared.append(machine)
    changes.facts[machine.key] = MachineFacts.of(machine)
    if machine.vm_id:
        changes.vm_ids[machine.key] = machine.vm_id
    if running is not None:
        event_type = POWER_ON if running else POWER_OFF
        changes.others.append(SeenEvent(machine.key, event_type, now, machine.size))


def _add_differences(
    changes: Changes,
    instance: KnownMachine,
    machine: Machine,
    running: bool | None,
    image_id: int | None,
    now: datetime,
) -> None:
    is_replaced = instance.is_replaced_by(machine)
    if image_id != instance.image_id and (image_id is not None or is_replaced):
        changes.relinked[instance.id] = image_id
        # What is told of an image for the first time was true of the machine before.
        if is_replaced or instance.image_id is not None:
            changes.former_images[instance.id] = (_moment(instance, now), instance.image_id)
    if machine.vm_id and machine.vm_id != instance.vm_id:
        changes.vm_ids[machine.key] = machine.vm_id
    for event_type in _event_types(instance, machine, running, is_replaced):
        changes.add(SeenEvent(machine.key, event_type, _moment(instance, now), machine.size))
    facts = MachineFacts.of(machine)
    if instance.facts != facts:
        changes.facts[machine.key] = facts


def _event_types(
    instance: KnownMachine, machine: Machine, running: bool | None, is_replaced: bool
) -> list[str]:
    if running is None:
        return []
    event_type = POWER_ON if running else POWER_OFF
    if instance.power != event_type:
        return [event_type]
    if is_replaced and running:
        return [POWER_OFF, POWER_ON]
    return [] if machine.size in {None, instance.size} else [ATTRIBUTE_CHANGE]


def _unlisted(key: str, instance: KnownMachine, scan: Scan, now: datetime) -> SeenEvent | None:
    """Return what happened to an instance that the list of machines does not show, if we know."""
    running = scan.states.get(key)
    if running is True and instance.power != POWER_ON:
        return SeenEvent(key, POWER_ON, _moment(instance, now), instance.size)
    is_over = running is False or scan.is_gone(key) or scan.has_moved(key, instance.vm_id)
    if instance.power == POWER_ON and is_over:
        return SeenEvent(key, POWER_OFF, _moment(instance, now), None)
    return None


def _moment(instance: KnownMachine, now: datetime) -> datetime:
    """Return now, but never a time before the instance's last event: clocks of workers differ."""
    return max(now, instance.changed_at or now)
