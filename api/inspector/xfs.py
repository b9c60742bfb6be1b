"""XFS, by libfsxfs; whether its log was replayed is read by own code (spec 13 §3)."""

import struct
from typing import NamedTuple

import pyfsxfs

from api.inspector.errors import UnreadableError
from api.inspector.libyal import LibyalFileSystem
from api.inspector.sources import ByteSource, read_exactly

_BLOCK = 512
"""Bytes of a block of the log."""

_RECORD_MAGIC = 0xFEEDBABE
_RECORD = struct.Struct(">IIIIQQIII")
_UNMOUNT = 0x20
_MAX_RECORD_BLOCKS = 520 + 8
_MAX_LOG_BLOCKS = 2**24


def open_xfs(source: ByteSource) -> LibyalFileSystem:
    """Open an XFS. Raises UnreadableError."""
    return LibyalFileSystem(
        pyfsxfs.volume(), source, name="xfs", has_dirty_journal=has_dirty_log(source)
    )


class _Log(NamedTuple):
    source: ByteSource
    offset: int
    blocks: int

    def block(self, number: int) -> bytes:
        return read_exactly(self.source, self.offset + number * _BLOCK, _BLOCK)

    def cycle(self, number: int) -> int:
        """Return which time round the log this block was written in."""
        magic, cycle = struct.unpack_from(">II", self.block(number))
        return int(cycle if magic == _RECORD_MAGIC else magic)


def has_dirty_log(source: ByteSource) -> bool:
    """Return whether an XFS was not unmounted: its log does not end with the record that says so.

    False if that cannot be told.
    """
    try:
        log = _find_log(source)
        return log is not None and not _ends_with_unmount(log)
    except (UnreadableError, struct.error):
        return False


def _find_log(source: ByteSource) -> _Log | None:
    superblock = read_exactly(source, 0, _BLOCK)
    (block_size,) = struct.unpack_from(">I", superblock, 4)
    (start,) = struct.unpack_from(">Q", superblock, 48)
    group_blocks, _, _, log_blocks = struct.unpack_from(">IIII", superblock, 84)
    group_bits = superblock[124]
    if not start or not 512 <= block_size <= 65536 or group_bits > 31:
        # A log on a disk of its own starts at 0.
        return None
    group, within = start >> group_bits, start & ((1 << group_bits) - 1)
    blocks = log_blocks * (block_size // _BLOCK)
    if not 0 < blocks <= _MAX_LOG_BLOCKS:
        return None
    return _Log(source, (group * group_blocks + within) * block_size, blocks)


def _ends_with_unmount(log: _Log) -> bool:
    head = _head(log)
    for back in range(1, min(_MAX_RECORD_BLOCKS, log.blocks) + 1):
        at = (head - back) % log.blocks
        block = log.block(at)
        magic, _, version, length, _, _, _, _, operations = _RECORD.unpack_from(block)
        if magic != _RECORD_MAGIC:
            continue
        (size,) = struct.unpack_from(">I", block, 320)
        headers = max(1, -(-size // 32768)) if version & 2 else 1
        if operations != 1 or headers + -(-length // _BLOCK) < back:
            return False
        # The first operation: tid, length, client, flags.
        return bool(log.block((at + headers) % log.blocks)[9] & _UNMOUNT)
    return False


def _head(log: _Log) -> int:
    """Return the block behind the newest record: where the cycle number changes."""
    first = log.cycle(0)
    if log.cycle(log.blocks - 1) == first:
        return 0
    low, high = 0, log.blocks - 1
    while high - low > 1:
        middle = (low + high) // 2
        if log.cycle(middle) == first:
            low = middle
        else:
            high = middle
    return high
