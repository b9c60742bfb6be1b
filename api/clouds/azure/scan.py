"""Get and transform a whole subscription: its machines, joined with their states (spec 06 §4)."""

import logging
from collections.abc import Iterable, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from api.clouds.azure import describe, transform
from api.clouds.azure.errors import (
    AzureBusyError,
    AzureLoginError,
    AzureRefusedError,
    NotFoundError,
    Problem,
)
from api.clouds.azure.transform import ImageKey, Machine, MalformedEntryError
from api.models import DescribeRun
from util.cache import remembered

logger = logging.getLogger(__name__)

SCALE_SETS_AT_ONCE = 4
"""Azure counts the calls of a whole tenant, so few are made at the same time."""

ARCHITECTURE_SECONDS = 24 * 60 * 60
"""How long the architecture of an image of the marketplace is remembered for all customers."""


@dataclass(slots=True)
class Scan:
    """What a subscription, or one scale set of it, looked like."""

    machines: dict[str, Machine] = field(default_factory=dict)
    """By ``Machine.key``, in the order in which Azure listed them."""
    states: dict[str, bool | None] = field(default_factory=dict)
    """By the same: whether the machine is running, None where Azure does not say."""
    architectures: dict[ImageKey, str] = field(default_factory=dict)
    """Of images whose architecture we did not know before."""
    problem: Problem | None = None
    """Why a part of the list is missing."""
    malformed: int = 0
    vm_ids: set[str] = field(default_factory=set)
    """Of the listed machines; they tell one that is listed under two resource ids."""

    @property
    def is_complete(self) -> bool:
        """Tell whether a machine that is not listed does not exist."""
        return self.problem is None and not self.malformed

    @property
    def outcome(self) -> str:
        """How the record of the poll names it."""
        if self.problem is not None:
            return self.problem.outcome
        return DescribeRun.Outcome.FAILED if self.malformed else DescribeRun.Outcome.OK

    @property
    def error_code(self) -> str:
        """Name what went wrong; empty if nothing did."""
        if self.problem is not None:
            return self.problem.code
        return "MalformedEntry" if self.malformed else ""

    @property
    def running(self) -> int:
        """Count the listed machines that are running."""
        return sum(self.states.get(key) is True for key in self.machines)

    def add_machine(self, entry: Any) -> None:
        """Add a machine, unless the id is known; what has none is counted."""
        try:
            self._add(transform.machine(entry))
        except MalformedEntryError:
            self.malformed += 1

    def add_state(self, entry: Any) -> None:
        """Add the state of a machine; what has no id says nothing about any."""
        try:
            key = transform.resource_id_of(entry).lower()
        except MalformedEntryError:
            return
        self.states[key] = transform.is_running(entry)

    def add(self, part: "Scan") -> None:
        """Add the machines of a scale set, without those that are listed by themselves too."""
        for key, machine in part.machines.items():
            if key not in self.machines and machine.vm_id not in self.vm_ids:
                self._add(machine)
                self.states[key] = part.states.get(key)
        self.problem = self.problem or part.problem
        self.malformed += part.malformed

    def _add(self, machine: Machine) -> None:
        self.machines.setdefault(machine.key, machine)
        if machine.vm_id:
            self.vm_ids.add(machine.vm_id)


def scan_subscription(subscription_id: str, *, known_images: Set[ImageKey]) -> Scan:
    """Ask Azure for all machines of a subscription, and for the architecture of unknown images.

    What is wrong with one scale set or one image spoils that one only. Raises ``AzureBusyError`` or
    ``AzureRefusedError`` if the machines or the scale sets cannot be listed, or the login fails.
    """
    scan = Scan()
    for entry in describe.machines(subscription_id):
        scan.add_machine(entry)
    for entry in describe.machine_states(subscription_id):
        scan.add_state(entry)
    _add_scale_sets(scan, subscription_id)
    _add_architectures(scan, subscription_id, known_images)
    if scan.malformed:
        logger.error("Azure listed %s malformed entries in %s", scan.malformed, subscription_id)
    return scan


def _add_scale_sets(scan: Scan, subscription_id: str) -> None:
    names = []
    for entry in describe.scale_sets(subscription_id):
        try:
            names.append(transform.scale_set(entry))
        except MalformedEntryError:
            scan.malformed += 1
    if names:
        with ThreadPoolExecutor(SCALE_SETS_AT_ONCE) as executor:
            for part in executor.map(partial(_scan_scale_set, subscription_id), names):
                scan.add(part)


def _scan_scale_set(subscription_id: str, name: tuple[str, str]) -> Scan:
    """Ask for the machines of one scale set; one that is gone by now has none."""
    part = Scan()
    try:
        for entry in describe.scale_set_machines(subscription_id, *name):
            part.add_machine(entry)
            part.add_state(entry)
    except NotFoundError:
        logger.info("Scale set %s of subscription %s is gone", name[1], subscription_id)
        return Scan()
    except AzureLoginError:
        raise
    except (AzureBusyError, AzureRefusedError) as problem:
        logger.warning("Scale set %s of %s: %s", name[1], subscription_id, problem)
        part.problem = problem
    return part


def _add_architectures(scan: Scan, subscription_id: str, known_images: Set[ImageKey]) -> None:
    """Ask once for each unknown image of the marketplace; what is not told is asked next time."""
    for key, machine in images_of(scan.machines.values()).items():
        if key in known_images or not (machine.image and machine.image.sku):
            continue
        try:
            found = _architecture(subscription_id, machine)
        except AzureLoginError:
            raise
        except AzureRefusedError as problem:
            logger.warning("Architecture of %s: %s", key, problem)
        except AzureBusyError as problem:
            logger.warning("Architecture of %s and further images: %s", key, problem)
            return
        else:
            if found:
                scan.architectures[key] = found


def images_of(machines: Iterable[Machine]) -> dict[ImageKey, Machine]:
    """Give each image with the first machine that has it."""
    found: dict[ImageKey, Machine] = {}
    for machine in machines:
        if machine.image_key is not None:
            found.setdefault(machine.image_key, machine)
    return found


def _architecture(subscription_id: str, machine: Machine) -> str | None:
    image = machine.image
    if not (image and image.publisher and image.offer and image.sku and machine.region):
        return None
    place = {
        "location": machine.region,
        "publisher": image.publisher,
        "offer": image.offer,
        "sku": image.sku,
    }
    key = "azure-architecture:" + ":".join(quote(part.lower(), safe="") for part in place.values())
    architecture: str | None = remembered(
        key,
        ARCHITECTURE_SECONDS,
        lambda: transform.architecture(describe.image_versions(subscription_id, **place)),
    )
    return architecture
