"""The database format ``ndb`` of rpm (``Packages.db``)."""

import struct
from collections.abc import Iterator

from api.inspector.errors import Notes, UnreadableError
from api.inspector.rpmheader import MAX_HEADER
from api.inspector.sources import ByteSource, Cached, read_exactly

_HEADER = struct.Struct("<4sIIIII")
_SLOT = struct.Struct("<4sIII")
_BLOB = struct.Struct("<4sIII")
_PAGE = 4096
_BLOCK = 16
_FIRST_SLOTS = 2
"""Slots whose place the header takes."""

_MAX_SLOT_PAGES = 2048


def headers(file: ByteSource, notes: Notes, path: str) -> Iterator[bytes]:
    """Yield the packages' headers. Raises UnreadableError if the file is no such database."""
    magic, version, _, slot_pages, _, _ = _HEADER.unpack(read_exactly(file, 0, _HEADER.size))
    if magic != b"RpmP" or version != 0 or not 0 < slot_pages <= _MAX_SLOT_PAGES:
        raise UnreadableError("is no ndb")
    cached = Cached(file, blocks=64)
    slots = read_exactly(cached, 0, slot_pages * _PAGE)[_FIRST_SLOTS * _SLOT.size :]
    for magic, package, offset, count in _SLOT.iter_unpack(slots):
        if magic != b"Slot" or not package:
            continue
        try:
            yield _blob(cached, package, offset * _BLOCK, count * _BLOCK)
        except UnreadableError as error:
            notes.add(path, f"package {package}: {error}")


def _blob(file: ByteSource, package: int, offset: int, room: int) -> bytes:
    magic, owner, _, size = _BLOB.unpack(read_exactly(file, offset, _BLOB.size))
    if magic != b"BlbS" or owner != package or size > min(room, MAX_HEADER):
        raise UnreadableError("is not where it must be")
    return read_exactly(file, offset + _BLOB.size, size)
