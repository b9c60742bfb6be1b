"""Partition tables: GPT, MBR with extended partitions, or none (spec 13 §2)."""

import struct
import zlib
from typing import NamedTuple

from api.inspector import magic
from api.inspector.errors import Notes, UnreadableError
from api.inspector.limits import MAX_VOLUMES, MIB
from api.inspector.sources import ByteSource, Slice, read_exactly

SECTOR_SIZES = (512, 4096)

_MBR_ENTRIES = 446
_MBR_MAGIC = b"\x55\xaa"
_PROTECTIVE = 0xEE
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_ACTIVE = frozenset({0x00, 0x80})
_FIRST_LOGICAL = 5

_GPT_MAGIC = b"EFI PART"
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_UNUSED = bytes(16)


class Partition(NamedTuple):
    """A part of a drive: its number, and where it lies, in bytes."""

    number: int
    offset: int
    size: int


def read_table(source: ByteSource, notes: Notes, path: str) -> list[Partition]:
    """Return the partitions of a drive in the order of their numbers; none without a table.

    A table that is only partly right gives the partitions that are; ``notes`` says the rest.
    """
    for sector in SECTOR_SIZES:
        found = _read_gpt(source, sector, notes, path)
        if found:
            return found
    return _read_mbr(source, notes, path)


def _read_gpt(source: ByteSource, sector: int, notes: Notes, path: str) -> list[Partition]:
    primary = source.read(sector, sector)
    if not primary.startswith(_GPT_MAGIC) and not _has_protective_entry(source):
        return []
    try:
        return _gpt_partitions(source, primary, sector)
    except UnreadableError as error:
        first_error = error
    backup = source.read(source.size // sector * sector - sector, sector)
    try:
        found = _gpt_partitions(source, backup, sector)
    except UnreadableError:
        if primary.startswith(_GPT_MAGIC):
            notes.add(path, f"GPT: {first_error}")
        return []
    notes.add(path, f"GPT: {first_error}; the backup is used")
    return found


def _has_protective_entry(source: ByteSource) -> bool:
    sector = source.read(0, 512)
    return sector[510:512] == _MBR_MAGIC and any(
        sector[_MBR_ENTRIES + 16 * index + 4] == _PROTECTIVE for index in range(4)
    )


def _gpt_partitions(source: ByteSource, header: bytes, sector: int) -> list[Partition]:
    if len(header) < _GPT_HEADER.size or not header.startswith(_GPT_MAGIC):
        raise UnreadableError("there is no header")
    (_, _, header_size, crc, _, _, _, _, _, _, table, count, entry_size, table_crc) = (
        _GPT_HEADER.unpack_from(header)
    )
    if not _GPT_HEADER.size <= header_size <= sector:
        raise UnreadableError("the header has a wrong size")
    if zlib.crc32(header[:16] + bytes(4) + header[20:header_size]) != crc:
        raise UnreadableError("the header has a wrong checksum")
    if not _GPT_ENTRY.size <= entry_size <= sector or count * entry_size > MIB:
        raise UnreadableError("the table has a wrong size")
    entries = read_exactly(source, table * sector, count * entry_size)
    if zlib.crc32(entries) != table_crc:
        raise UnreadableError("the table has a wrong checksum")
    found = []
    for index in range(count):
        kind, _, first, last, _, _ = _GPT_ENTRY.unpack_from(entries, index * entry_size)
        if kind != _UNUSED and first <= last and first * sector < source.size:
            found.append(Partition(index + 1, first * sector, (last - first + 1) * sector))
    return found[:MAX_VOLUMES]


def _read_mbr(source: ByteSource, notes: Notes, path: str) -> list[Partition]:
    """Read an MBR in the unit of sectors in which more of its partitions hold something."""
    sector = source.read(0, 512)
    if not _is_mbr(sector):
        return []
    best: list[Partition] = []
    best_known = -1
    best_notes = Notes()
    for size in SECTOR_SIZES:
        own_notes = Notes()
        found = _mbr_partitions(source, sector, size, own_notes, path)
        known = sum(
            magic.identify(Slice(source, one.offset, one.size)) is not None for one in found
        )
        if known > best_known:
            best, best_known, best_notes = found, known, own_notes
    for text in best_notes.errors:
        notes.errors.append(text)
    return best


def _is_mbr(sector: bytes) -> bool:
    """Return whether a sector is a partition table: boot sectors of file systems end as it does."""
    if sector[510:512] != _MBR_MAGIC or magic.is_boot_sector(sector):
        return False
    entries = [sector[_MBR_ENTRIES + 16 * index :][:16] for index in range(4)]
    return all(entry[0] in _ACTIVE for entry in entries) and any(
        entry[4] and int.from_bytes(entry[12:16], "little") for entry in entries
    )


def _mbr_entries(sector: bytes) -> list[tuple[int, int, int]]:
    """Return type, first sector and number of sectors of the four entries."""
    return [
        (sector[at + 4], *struct.unpack_from("<II", sector, at + 8))
        for at in range(_MBR_ENTRIES, _MBR_ENTRIES + 64, 16)
    ]


def _mbr_partitions(
    source: ByteSource, sector: bytes, size: int, notes: Notes, path: str
) -> list[Partition]:
    found = []
    for index, (kind, first, count) in enumerate(_mbr_entries(sector)):
        if not kind or not count or first * size >= source.size:
            continue
        if kind in _EXTENDED:
            found += _logical_partitions(source, first, size, notes, path)
        else:
            found.append(Partition(index + 1, first * size, count * size))
    return sorted(found)


def _logical_partitions(
    source: ByteSource, start: int, size: int, notes: Notes, path: str
) -> list[Partition]:
    """Follow the chain of an extended partition, in which each link names the next."""
    found: list[Partition] = []
    seen: set[int] = set()
    at = start
    while at not in seen and len(seen) < MAX_VOLUMES:
        seen.add(at)
        try:
            sector = read_exactly(source, at * size, 512)
        except UnreadableError as error:
            notes.add(path, f"extended partition: {error}")
            return found
        if sector[510:512] != _MBR_MAGIC:
            notes.add(path, f"extended partition: no table at sector {at}")
            return found
        (kind, first, count), (next_kind, following, _), *_ = _mbr_entries(sector)
        number = _FIRST_LOGICAL + len(found)
        if kind and count:
            found.append(Partition(number, (at + first) * size, count * size))
        if next_kind not in _EXTENDED or not following:
            return found
        at = start + following
    notes.add(path, "extended partition: its chain has no end")
    return found
