"""The sizes of instance types (spec 07 §3.2)."""

from collections.abc import Iterable
from typing import NamedTuple

from api.models import InstanceDefinition


class Size(NamedTuple):
    """What a run keeps of its instance type: whole virtual CPUs, and memory in MiB."""

    vcpu: int
    memory: float


def sizes_of(instance_types: Iterable[str | None]) -> dict[tuple[str, str], Size]:
    """Find the known ones of these types, by cloud type and name; one query."""
    names = {name for name in instance_types if name}
    if not names:
        return {}
    definitions = InstanceDefinition.objects.filter(instance_type__in=names)
    return {
        (cloud_type, name): Size(int(vcpu), float(memory))
        for cloud_type, name, vcpu, memory in definitions.values_list(
            "cloud_type", "instance_type", "vcpu", "memory_mib"
        )
    }
