"""What lies in a volume, known by its magic number (spec 13 §2). The names are those of blkid."""

from typing import NamedTuple

from api.inspector.sources import ByteSource

XFS = "xfs"
EXT = frozenset({"ext2", "ext3", "ext4"})
LUKS = "crypto_LUKS"
LVM = "LVM2_member"


class MagicBytes(NamedTuple):
    """Bytes at an offset by which something is known."""

    name: str
    offset: int
    text: bytes


_MARKS = (
    MagicBytes(LUKS, 0, b"LUKS\xba\xbe"),
    MagicBytes(XFS, 0, b"XFSB"),
    *(MagicBytes(LVM, 512 * sector, b"LABELONE") for sector in range(4)),
    MagicBytes("linux_raid_member", 0, b"\xfc\x4e\x2b\xa9"),
    MagicBytes("linux_raid_member", 4096, b"\xfc\x4e\x2b\xa9"),
    MagicBytes("ext", 1080, b"\x53\xef"),
    MagicBytes("btrfs", 65600, b"_BHRfS_M"),
    *(MagicBytes("swap", page - 10, b"SWAPSPACE2") for page in (4096, 8192, 16384, 65536)),
    MagicBytes("squashfs", 0, b"hsqs"),
    MagicBytes("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    MagicBytes("iso9660", 32769, b"CD001"),
)
_BOOT_SECTORS = (
    MagicBytes("ntfs", 3, b"NTFS    "),
    MagicBytes("exfat", 3, b"EXFAT   "),
    MagicBytes("vfat", 54, b"FAT12   "),
    MagicBytes("vfat", 54, b"FAT16   "),
    MagicBytes("vfat", 82, b"FAT32   "),
)

_COMPATIBLE = 0x45C
_INCOMPATIBLE = 0x460
_READ_ONLY_COMPATIBLE = 0x464
_HAS_JOURNAL = 0x4
_EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x10
_EXT3_READ_ONLY = 0x1 | 0x2 | 0x4


def identify(source: ByteSource) -> str | None:
    """Name what lies in a volume; None for nothing that is known.

    Raises UnreadableError if its beginning cannot be read.
    """
    for mark in (*_MARKS, *_BOOT_SECTORS):
        if source.read(mark.offset, len(mark.text)) == mark.text:
            return _ext_version(source) if mark.name == "ext" else mark.name
    return None


def is_boot_sector(sector: bytes) -> bool:
    """Return whether a drive's first sector belongs to a file system that has such ones."""
    return any(sector[mark.offset :].startswith(mark.text) for mark in _BOOT_SECTORS)


def _ext_version(source: ByteSource) -> str:
    """Return which of ext2, ext3 and ext4 it is, by the superblock's features, as blkid does."""
    compatible, incompatible, read_only = (
        int.from_bytes(source.read(at, 4), "little")
        for at in (_COMPATIBLE, _INCOMPATIBLE, _READ_ONLY_COMPATIBLE)
    )
    if incompatible & ~_EXT3_INCOMPATIBLE or read_only & ~_EXT3_READ_ONLY:
        return "ext4"
    return "ext3" if compatible & _HAS_JOURNAL else "ext2"
