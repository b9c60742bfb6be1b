"""Make the images: ``python -m tests.api.inspector.corpus.make [NAME ...]``.

Needs mkfs.xfs (xfsprogs) and mke2fs (e2fsprogs), but no root.
"""

import lzma
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.api.inspector.corpus import FOLDER, SUFFIX
from tests.generators import disks, systems
from tests.generators.disks import MIB, Group, Segment

XFS_SIZE, EXT_SIZE = 16 * MIB, 8 * MIB
_EMPTY = bytes(MIB)
_SWAP = bytes(4086) + b"SWAPSPACE2" + bytes(MIB - 4096)
_VFAT = b"\xeb\x58\x90mkfs.fat" + bytes(43) + b"FAT16   " + bytes(448) + b"\x55\xaa" + bytes(MIB)
_LUKS = b"LUKS\xba\xbe\x00\x02" + bytes(MIB)

System = Callable[[Path], Path]


def file_system(kind: str, system: System = systems.rhel_7, *options: str, size: int = 0) -> bytes:
    """Return a file system with a system on it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = system(Path(folder, "tree"))
        image = Path(folder, "image")
        size = size or (XFS_SIZE if kind == "xfs" else EXT_SIZE)
        disks.make_file_system(kind, tree, image, size=size, options=options)
        return image.read_bytes()


def dirty_xfs() -> bytes:
    """Return an XFS of a running system: its log does not end with an unmount."""
    volume = bytearray(file_system("xfs"))
    record = volume.index(b"\xfe\xed\xba\xbe")
    # The flags of the only operation of the only record in the log.
    volume[record + 512 + 9] = 0
    return bytes(volume)


def dirty_ext4() -> bytes:
    """Return an ext4 of a running system: it needs recovery."""
    volume = bytearray(file_system("ext4"))
    volume[1024 + 0x60] |= 4
    return bytes(volume)


def in_group(root: bytes, segments: Sequence[Segment]) -> Group:
    """Return a group of two physical volumes with a swap volume and a root volume."""
    group = Group([20, 20])
    group.add("swap", _SWAP, [Segment(1, [(0, 0)])])
    group.add("root", root, segments)
    return group


def thin() -> bytes:
    """Return a disk whose root lies in a thin pool."""
    group = in_group(b"", [Segment(16, [(0, 1)], kind="thin")])
    return disks.with_gpt(group.physical_volumes())


_STRIPED = [Segment(16, [(0, 2), (1, 3)], stripe_size=65536)]
_SCATTERED = [Segment(9, [(1, 2)]), Segment(4, [(0, 9)]), Segment(3, [(0, 2)])]

IMAGES: dict[str, Callable[[], bytes]] = {
    "rhel7-ext2": lambda: file_system("ext2"),
    "rhel7-ext3": lambda: file_system("ext3"),
    "rhel7-ext4": lambda: file_system("ext4"),
    "rhel7-ext4-1k-blocks": lambda: file_system("ext4", systems.rhel_7, "-b", "1024"),
    "rhel7-ext4-dirty": dirty_ext4,
    "rhel7-xfs": lambda: file_system("xfs"),
    "rhel7-xfs-v4": lambda: file_system("xfs", systems.rhel_7, "-m", "crc=0"),
    "rhel7-xfs-bigtime-nrext64": lambda: file_system(
        "xfs", systems.rhel_7, "-m", "bigtime=1", "-i", "nrext64=1", size=2 * XFS_SIZE
    ),
    "rhel7-xfs-4096": lambda: file_system("xfs", systems.rhel_7, "-s", "size=4096"),
    "rhel7-xfs-dirty": dirty_xfs,
    "rhel7-gpt-xfs": lambda: disks.with_gpt([_EMPTY, _VFAT, file_system("xfs")]),
    "rhel7-gpt-4096-xfs-4096": lambda: disks.with_gpt(
        [_EMPTY, file_system("xfs", systems.rhel_7, "-s", "size=4096")], sector=4096
    ),
    "rhel7-mbr-ext4": lambda: disks.with_mbr([_SWAP, file_system("ext4")]),
    "rhel7-mbr-4096-ext4": lambda: disks.with_mbr([file_system("ext4")], sector=4096),
    "rhel7-mbr-extended-ext4": lambda: disks.with_mbr(
        [_EMPTY, _SWAP, _VFAT, file_system("ext4")], primary=1
    ),
    "rhel7-gpt-lvm-xfs": lambda: disks.with_gpt([_VFAT, disks.linear(file_system("xfs"))]),
    "rhel7-lvm-whole-disk-ext4": lambda: disks.linear(file_system("ext4")),
    "rhel7-mbr-lvm-two-volumes-xfs": lambda: disks.with_mbr(
        in_group(file_system("xfs"), _SCATTERED).physical_volumes(), kind=disks.LVM_TYPE
    ),
    "rhel7-gpt-lvm-striped-xfs": lambda: disks.with_gpt(
        in_group(file_system("xfs"), _STRIPED).physical_volumes()
    ),
    "rhel8-gpt-xfs": lambda: disks.with_gpt([_EMPTY, file_system("xfs", systems.rhel_8)]),
    "rhel9-gpt-xfs": lambda: disks.with_gpt([_EMPTY, file_system("xfs", systems.rhel_9)]),
    "rhel9-ostree-xfs": lambda: disks.with_gpt([file_system("xfs", systems.ostree)]),
    "centos7-mbr-xfs": lambda: disks.with_mbr([file_system("xfs", systems.centos_7)]),
    "oracle8-gpt-xfs": lambda: disks.with_gpt([file_system("xfs", systems.oracle_8)]),
    "fedora38-gpt-ext4": lambda: disks.with_gpt([file_system("ext4", systems.fedora_38)]),
    "luks": lambda: disks.with_gpt([_VFAT, _LUKS]),
    "lvm-thin": thin,
}


def main(names: Sequence[str]) -> None:
    """Make the named images, or all."""
    for name in names or IMAGES:
        data = lzma.compress(IMAGES[name](), preset=9)
        (FOLDER / f"{name}{SUFFIX}").write_bytes(data)
        print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
