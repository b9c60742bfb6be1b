"""Transform: from what we knew and what a scan saw to what must be written (06 §5.2, §5.3). Pure.

What is not different is not written. A machine whose state Azure does not tell gets no event.
"""

from collections.abc import Iterator, Mapping, Set
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
class Facts:
    """What is kept of a machine whenever it changes, although nothing is decided by it (09 P14)."""

    instance_type: str | None = None
    licenses: list[str] | None = None
    lifecycle: str | None = None
    zone: str | None = None
    image: dict[str, Any] | None = None

    @classmethod
    def of(cls, machine: Machine) -> "Facts":
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
class KnownInstance:
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
    facts: Facts | None = None


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
    relinked: dict[int, int] = field(default_factory=dict)
    """Instances with the id of the image they have now."""
    events: list[SeenEvent] = field(default_factory=list)
    facts: dict[str, Facts] = field(default_factory=dict)
    """By the keys of instances."""

    def __bool__(self) -> bool:
        """Tell whether anything is to be written."""
        return bool(self.appeared or self.relinked or self.events or self.facts)


def compare(
    known: Mapping[str, KnownInstance],
    scan: Scan,
    *,
    image_ids: Mapping[ImageKey, int],
    now: datetime,
) -> Changes:
    """Tell how the stored instances of a subscription differ from a scan of it.

    ``known`` are all instances of the account by ``Machine.key``; ``now`` is when the events occur.
    Instances that are not listed are taken for gone only if the scan is complete.
    """
    changes = Changes()
    for key, machine in scan.machines.items():
        instance = known.get(key)
        image_id = image_ids.get(machine.image_key) if machine.image_key else None
        if instance is None:
            changes.appeared.append(machine)
        elif image_id is not None and image_id != instance.image_id:
            changes.relinked[instance.id] = image_id
        if (event := _event(instance, machine, scan.states.get(key), now)) is not None:
            changes.events.append(event)
        facts = Facts.of(machine)
        if instance is None or instance.facts != facts:
            changes.facts[key] = facts
    if scan.is_complete:
        changes.events += _ends(known, scan.machines.keys(), now)
    return changes


def _event(
    instance: KnownInstance | None, machine: Machine, running: bool | None, now: datetime
) -> SeenEvent | None:
    if running is None:
        return None
    event_type = POWER_ON if running else POWER_OFF
    if instance is not None and instance.power == event_type:
        if machine.size in {None, instance.size}:
            return None
        event_type = ATTRIBUTE_CHANGE
    return SeenEvent(machine.key, event_type, _moment(instance, now), machine.size)


def _ends(
    known: Mapping[str, KnownInstance], listed: Set[str], now: datetime
) -> Iterator[SeenEvent]:
    for key, instance in known.items():
        if instance.power == POWER_ON and key not in listed:
            yield SeenEvent(key, POWER_OFF, _moment(instance, now), None)


def _moment(instance: KnownInstance | None, now: datetime) -> datetime:
    """Give now, but never a time before the instance's last event: clocks of workers differ."""
    if instance is None or instance.changed_at is None:
        return now
    return max(now, instance.changed_at)
