"""Sizes of virtual machines (spec 06 §7)."""

import json
import logging
import re
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Any

from django.conf import settings

from api.clouds.azure import describe
from api.images.facts import storable
from api.models import CloudType, InstanceDefinition

logger = logging.getLogger(__name__)

MACHINES = "virtualMachines"

_GIGABYTE = 10**9
_MEBIBYTE = 2**20
_VCPU_LIMIT = 10**6
_MEMORY_LIMIT = 2**63
_NAME_LENGTH = 256

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class UnusableSizeError(ValueError):
    """An entry does not say what a size must say."""


def repopulate_definitions() -> int:
    """Store the sizes that we do not know yet; returns how many. A known one is never changed.

    An unusable entry is left out. Raises ``AzureBusyError`` or ``AzureRefusedError``, and then has
    stored nothing.
    """
    sizes: dict[str, InstanceDefinition] = {}
    for entry in describe.skus(settings.AZURE_SUBSCRIPTION_ID):
        if not isinstance(entry, Mapping) or entry.get("resourceType") != MACHINES:
            continue
        try:
            size = definition(entry)
        except UnusableSizeError as problem:
            logger.warning("A size of Azure is left out: %s", problem)
        else:
            sizes[size.instance_type] = size
    return _store(sizes)


def _store(sizes: dict[str, InstanceDefinition]) -> int:
    azure = InstanceDefinition.objects.filter(cloud_type=CloudType.AZURE)
    before = azure.count()
    InstanceDefinition.objects.bulk_create(sizes.values(), ignore_conflicts=True)
    added = azure.count() - before
    logger.info("Azure offers %s sizes, of which %s were new", len(sizes), added)
    return added


def definition(entry: Mapping[str, Any]) -> InstanceDefinition:
    """Make a definition of an entry. Pure. Raises ``UnusableSizeError``."""
    name = entry.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH:
        raise UnusableSizeError(f"no usable name in {str(entry)[:200]}")
    return InstanceDefinition(
        cloud_type=CloudType.AZURE,
        instance_type=name,
        vcpu=_capability(entry, "vCPUs", below=_VCPU_LIMIT).quantize(Decimal("0.01")),
        memory_mib=memory_mib(_capability(entry, "MemoryGB", below=_MEMORY_LIMIT // _GIGABYTE)),
        json_definition=json.dumps(as_model(storable(entry))),
    )


def memory_mib(gigabytes: Decimal) -> int:
    """Convert as the specification has it: 10^9 bytes each, rounded down to mebibytes. Pure."""
    return int((gigabytes * _GIGABYTE / _MEBIBYTE).to_integral_value(ROUND_DOWN))


def as_model(value: Any) -> Any:
    """Return JSON in the shape of the SDK's models as text: snake case, and a place for more."""
    if isinstance(value, Mapping):
        members = {_WORD_START.sub("_", key).lower(): as_model(value[key]) for key in value}
        return {"additional_properties": {}, **members}
    if isinstance(value, list):
        return [as_model(member) for member in value]
    return value


def _capability(entry: Mapping[str, Any], wanted: str, *, below: int) -> Decimal:
    capabilities = entry.get("capabilities")
    for capability in capabilities if isinstance(capabilities, list) else ():
        if isinstance(capability, Mapping) and capability.get("name") == wanted:
            try:
                number = Decimal(str(capability.get("value")))
            except InvalidOperation:
                break
            if number.is_finite() and 0 <= number < below:
                return number
    raise UnusableSizeError(f"no usable {wanted} in {entry.get('name')}")
