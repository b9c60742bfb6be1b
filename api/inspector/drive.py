"""All partitions and logical volumes of a drive (spec 05 §9, 13 §2)."""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from api.inspector import lvm, magic, partitions
from api.inspector.errors import InspectorError, Notes
from api.inspector.ext import open_ext
from api.inspector.libyal import TROUBLE
from api.inspector.limits import MAX_VOLUMES
from api.inspector.partition import PartitionResult, inspect_file_system, unread
from api.inspector.sources import ByteSource, Slice
from api.inspector.xfs import open_xfs

DEVICES = "/dev/"


class Volume(NamedTuple):
    """A partition, a logical volume, or a drive without partitions.

    ``source`` is None for a logical volume of a ``kind`` that is not read.
    """

    path: str
    source: ByteSource | None
    kind: str = ""


def inspect_drive(
    source: ByteSource,
    path: str,
    *,
    notes: Notes,
    begin: Callable[[str], None],
    skip: Collection[str] = (),
) -> Iterator[tuple[str, PartitionResult]]:
    """Yield path and result of all volumes of a drive, but for those to be skipped.

    ``begin`` is told each path before it is looked into. ``notes`` takes what is wrong with the
    drive as a whole.
    """
    for volume in find_volumes(source, path, notes):
        if volume.path not in skip:
            begin(volume.path)
            yield volume.path, _inspect(volume)


def find_volumes(source: ByteSource, path: str, notes: Notes) -> list[Volume]:
    """Return the partitions in order, or the drive itself, and then the logical volumes."""
    try:
        table = partitions.read_table(source, notes, path)
    except InspectorError as error:
        notes.add(path, error)
        table = []
    found = [
        Volume(partition_path(path, one.number), Slice(source, one.offset, one.size))
        for one in table
    ] or [Volume(path, source)]
    members = [member for volume in found for member in _members(volume, notes)]
    for volume in lvm.logical_volumes(members, notes, path):
        name = f"{path}:{volume.group}/{volume.name}"
        found.append(Volume(name, volume.source, volume.kind))
    return found[:MAX_VOLUMES]


def partition_path(drive: str, number: int) -> str:
    """Return the path of a partition: the kernel's for a device, else the number at the end."""
    separator = "p" if drive.startswith(DEVICES) and drive[-1].isdigit() else ""
    return f"{drive}{separator}{number}"


def _members(volume: Volume, notes: Notes) -> Iterator[lvm.PhysicalVolume]:
    try:
        if volume.source is not None and magic.identify(volume.source) == magic.LVM:
            yield lvm.read_physical_volume(volume.source)
    except InspectorError as error:
        notes.add(volume.path, error)


def _inspect(volume: Volume) -> PartitionResult:
    if volume.source is None:
        return unread(volume.kind, f"logical volumes of type {volume.kind} are not read")
    name = None
    try:
        name = magic.identify(volume.source)
        if name == magic.XFS:
            return inspect_file_system(open_xfs(volume.source))
        if name in magic.EXT:
            return inspect_file_system(open_ext(volume.source, name))
        return unread(name)
    except (InspectorError, *TROUBLE) as error:
        return unread(name, error)
