"""ext2, ext3 and ext4, by libfsext (spec 13 §3)."""

import pyfsext

from api.inspector.libyal import LibyalFileSystem
from api.inspector.sources import ByteSource, read_exactly

_SUPERBLOCK = 1024
_COMPATIBLE = 0x5C
_INCOMPATIBLE = 0x60
_NEEDS_RECOVERY = 0x4
_KNOWN_COMPATIBLE = 0x3F
"""Features that the library knows of those that no reader needs to know."""


def open_ext(source: ByteSource, name: str) -> LibyalFileSystem:
    """Open an ext2, ext3 or ext4. Raises UnreadableError."""
    superblock = read_exactly(source, _SUPERBLOCK, _INCOMPATIBLE + 4)
    features = int.from_bytes(superblock[_INCOMPATIBLE:], "little")
    return LibyalFileSystem(
        pyfsext.volume(),
        _Readable(source),
        name=name,
        has_dirty_journal=bool(features & _NEEDS_RECOVERY),
    )


class _Readable:
    """A file system without the mention of compatible features that the library refuses.

    "Compatible" means that who does not know a feature may read and write all the same.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.size = source.size
        self.block_size = source.block_size

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``sources.ByteSource``."""
        data = self._source.read(offset, size)
        at = _SUPERBLOCK + _COMPATIBLE - offset
        if not 0 <= at <= len(data) - 4:
            return data
        features = int.from_bytes(data[at : at + 4], "little") & _KNOWN_COMPATIBLE
        return data[:at] + features.to_bytes(4, "little") + data[at + 4 :]
