"""Customers with an Azure subscription: what they have there, and what must come of it.

No log tells what happens: a change counts from some moment between the order to Azure and the look
at our events that showed it, and nothing is changed again before that.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from deployment.local import azure_resources as resources
from deployment.local.azure import TENANT_ID
from tests.e2e.sources_environment import Customer
from tests.soak.customers import Bounds, Machine, Newcomer

TAG, LICENCE, OFFER, NONE = "tag", "licence", "offer", "none"
MARKS = (TAG, TAG, LICENCE, OFFER, NONE)
"""What tells that an image is RHEL: a tag, a machine's licence, its place in the marketplace."""

SKUS = ("rhel-0", "rhel-1", "rhel-2")
"""The same ones for all customers: what one of them tags is not RHEL of another."""

OFFERS = {OFFER: "rhel-byos"}
USUAL_OFFER = "RHEL"
OUTSIDE = ""
SCALE_SETS = (OUTSIDE, OUTSIDE, "web", "db")
"""Where machines are."""

POWER_ON, POWER_OFF = "power_on", "power_off"


class Stored(NamedTuple):
    """What is stored of an instance: how often it came on, its last event, its image's tag."""

    power_ons: int
    last: str
    is_tagged: bool


@dataclass
class Image:
    """An image of the marketplace."""

    sku: str
    mark: str
    is_rhel: bool

    def described(self) -> dict[str, Any]:
        """Return what each machine says of it."""
        reference = {"offer": OFFERS.get(self.mark, USUAL_OFFER), "sku": self.sku}
        told: dict[str, Any] = {"image": {**resources.RHEL_IMAGE, **reference}}
        if self.mark == TAG and self.is_rhel:
            told["tags"] = {"cloudigrade-rhel-present": ""}
        if self.mark == LICENCE:
            told["licenseType"] = "RHEL_BYOS"
        if self.mark == NONE:
            told["licenseType"] = "RHEL_BASE"
        return told


@dataclass
class VirtualMachine(Machine):
    """A machine in Azure; ``spans`` are when it counted."""

    scale_set: str = OUTSIDE
    runs: bool = True
    power_ons: int = 0
    """How often it must have been stored as coming on."""
    vm_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Subscriber(Newcomer):
    """A customer who comes during the soak with a subscription in the fake Azure."""

    def __init__(self, customer: Customer, kind: str, seed: int) -> None:
        super().__init__(customer, kind, seed)
        self.subscription_id = str(
            uuid.UUID(int=0xABC0_0000_0000_4000_8000 << 48 | customer.number)
        )
        self.machines: list[VirtualMachine] = []
        self.images: dict[str, Image] = {}
        self.asked_at: datetime | None = None
        """When the change was begun that has not been seen yet."""
        self.pause_asked_at: datetime | None = None
        self._made = 0

    def arrive(self) -> None:
        """Have images and machines, from before we came."""
        for sku in self.chance.sample(SKUS, self.chance.randint(1, 2)):
            mark = self.chance.choice(MARKS)
            self.images[sku] = Image(sku, mark, is_rhel=mark != NONE)
            for _ in range(self.chance.randint(1, 3)):
                self._make(sku)

    def came(self, sent_at: datetime) -> None:
        """Note when the message about the account was sent."""
        super().came(sent_at)
        self.goes_on(sent_at)

    def shown(self) -> dict[str, Any]:
        """Return the subscription as Azure shows it."""
        by_place: dict[str, list[dict[str, Any]]] = {}
        for machine in self.machines:
            if not machine.is_gone:
                by_place.setdefault(machine.scale_set, []).append(self._described(machine))
        return {
            "machines": by_place.pop(OUTSIDE, []),
            "scale_sets": [resources.scale_set(name, *by_place[name]) for name in sorted(by_place)],
            "assignments": [
                resources.assignment(self.subscription_id, "offer", managed_by=TENANT_ID)
            ],
        }

    def act(self, now: datetime) -> None:
        """Do something to one machine or more, or to an image."""
        tagged = [one for one in self.images.values() if one.mark == TAG and self._has(one)]
        if not self.is_paused and tagged and self.chance.random() < 0.15:
            image = self.chance.choice(tagged)
            image.is_rhel = not image.is_rhel
        else:
            there = [one for one in self.machines if not one.is_gone]
            for machine in self.chance.sample(there, min(len(there), self._how_many())):
                self._switch(machine)
            if len(there) < 2 or self.chance.random() < 0.3:
                self._make(self.chance.choice(list(self.images)))
                self._count(self.machines[-1])
        if not self.is_paused:
            self.asked_at = now

    def is_seen(self, stored: Mapping[str, Stored]) -> bool:
        """Return whether all that happened is stored; the instances are named in lower case."""
        return all(self._is_seen(one, stored.get(one.id.lower())) for one in self.machines)

    def was_seen(self, seen_at: datetime) -> None:
        """Note when the change was seen: it counts since then, or since a moment before."""
        assert self.asked_at is not None
        between = (self.asked_at, seen_at)
        for machine in self.machines:
            if machine.runs and not machine.is_on:
                machine.spans.append(Bounds(machine.image, between))
            elif machine.is_on and not machine.runs:
                machine.spans[-1].end = between
        self.described_at = self.described_at or seen_at
        self.asked_at = None

    def was_paused(self, seen_at: datetime) -> None:
        """Note when the account was seen to be paused: nothing counts any more."""
        assert self.pause_asked_at is not None
        self.end_of_all((self.pause_asked_at, seen_at))
        self.pause_asked_at = None
        self.is_paused = True

    def goes_on(self, now: datetime) -> None:
        """Note that all that runs is to be seen, for the first time or again."""
        # What came and went unseen is nobody's.
        self.machines = [one for one in self.machines if not one.is_gone or one.power_ons]
        self.is_paused = False
        self.asked_at = now
        for machine in self.machines:
            self._count(machine)

    def rhel(self) -> set[str]:
        """Return the images that are RHEL."""
        return {image.sku for image in self.images.values() if image.is_rhel}

    def truth(self) -> list[str]:
        """Say when machines were on."""
        return [str(one) for one in (*self.images.values(), *self.machines)]

    def wrong_events(self, stored: Mapping[str, Stored]) -> Iterable[str]:
        """Yield what came on more or less often than is stored."""
        wanted = {one.id.lower(): one.power_ons for one in self.machines}
        found = {name: one.power_ons for name, one in stored.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name, 0) != found.get(name, 0):
                yield f"{name} came on {wanted.get(name)} times, stored are {found.get(name)}"

    def _make(self, sku: str) -> None:
        self._made += 1
        number, scale_set = self._made, self.chance.choice(SCALE_SETS)
        if scale_set == OUTSIDE:
            resource_id = resources.machine_id(self.subscription_id, f"M{number}")
        else:
            resource_id = resources.scale_set_machine_id(self.subscription_id, scale_set, number)
        runs = self.chance.random() < 0.7
        self.machines.append(VirtualMachine(resource_id, sku, scale_set=scale_set, runs=runs))

    def _how_many(self) -> int:
        return self.chance.choice((1, 1, 1, 2, 3))

    def _switch(self, machine: VirtualMachine) -> None:
        if not machine.runs:
            if self.chance.random() < 0.2:
                machine.is_gone = True
            else:
                machine.runs = True
                self._count(machine)
            return
        what = self.chance.choice(("stop", "stop", "delete", "replace"))
        if what == "replace":
            # The one ends and the other begins at once, so that as many are on as before.
            machine.vm_id = str(uuid.uuid4())
            self._count(machine)
            return
        machine.runs = False
        machine.is_gone = what == "delete"

    def _count(self, machine: VirtualMachine) -> None:
        if machine.runs and not self.is_paused:
            machine.power_ons += 1

    def _has(self, image: Image) -> bool:
        return any(one.image == image.sku and not one.is_gone for one in self.machines)

    def _described(self, machine: VirtualMachine) -> dict[str, Any]:
        return resources.machine(
            machine.id,
            power="running" if machine.runs else self.chance.choice(("stopped", "deallocated")),
            vmId=machine.vm_id,
            **self.images[machine.image].described(),
        )

    def _is_seen(self, machine: VirtualMachine, stored: Stored | None) -> bool:
        if stored is None:
            return False
        image = self.images[machine.image]
        if image.mark == TAG and not machine.is_gone and stored.is_tagged != image.is_rhel:
            return False
        wanted = POWER_ON if machine.runs else POWER_OFF
        return stored.power_ons >= machine.power_ons and stored.last == wanted
