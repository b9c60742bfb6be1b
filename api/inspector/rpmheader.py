"""A package's header as rpm's databases hold it: name, and key id of the signature."""

import base64
import binascii
import struct
from typing import NamedTuple

from api.inspector import openpgp
from api.inspector.errors import UnreadableError
from api.inspector.limits import MIB

MAX_HEADER = 64 * MIB
"""Bytes of the largest header that rpm itself writes."""

_LENGTHS = struct.Struct(">II")
_INDEX = struct.Struct(">iIiI")
_MAX_INDEX = 0x0000FFFF

_PGP, _GPG, _DSA, _RSA, _OPENPGP = 259, 262, 267, 268, 278
_NAME = 1000
_BINARY = (_RSA, _DSA, _PGP, _GPG)
"""The tags of signatures in the order in which rpm shows them: of the header, then of all."""

_TYPE_STRING, _TYPE_BINARY, _TYPE_STRINGS = 6, 7, 8
_MAX_NAME = 256
_MAX_SIGNATURES = 16


class Package(NamedTuple):
    """A package: its name, and the id of the key that signed it, if any did."""

    name: str
    key_id: str | None


def read_header(blob: bytes) -> Package:
    """Read a header. Raises UnreadableError if it is none."""
    if len(blob) < _LENGTHS.size:
        raise UnreadableError("is too short")
    count, size = _LENGTHS.unpack_from(blob)
    start = _LENGTHS.size + count * _INDEX.size
    if not 0 < count <= _MAX_INDEX or start + size > len(blob):
        raise UnreadableError("has wrong lengths")
    data = blob[start : start + size]
    wanted = {_NAME, _OPENPGP, *_BINARY}
    found = {
        tag: (kind, offset, number)
        for tag, kind, offset, number in _INDEX.iter_unpack(blob[_LENGTHS.size : start])
        if tag in wanted
    }
    name = _string(data, found.get(_NAME))
    if not name:
        raise UnreadableError("has no name")
    return Package(name, _signer(data, found))


def _string(data: bytes, place: tuple[int, int, int] | None) -> str:
    if place is None or place[0] != _TYPE_STRING or not 0 <= place[1] < len(data):
        return ""
    end = data.find(b"\0", place[1], place[1] + _MAX_NAME)
    return data[place[1] : max(end, place[1])].decode("utf-8", "replace")


def _signer(data: bytes, found: dict[int, tuple[int, int, int]]) -> str | None:
    for tag in _BINARY:
        kind, offset, size = found.get(tag, (0, 0, 0))
        if kind == _TYPE_BINARY and offset >= 0:
            key_id = openpgp.key_id(data[offset : offset + size])
            if key_id:
                return key_id
    kind, offset, number = found.get(_OPENPGP, (0, 0, 0))
    if kind != _TYPE_STRINGS or offset < 0:
        return None
    for text in data[offset:].split(b"\0", _MAX_SIGNATURES)[: min(number, _MAX_SIGNATURES)]:
        try:
            key_id = openpgp.key_id(base64.b64decode(text))
        except binascii.Error:
            continue
        if key_id:
            return key_id
    return None
