"""Logical volumes (LVM2), read by own code: linear and striped segments (spec 13 §3).

libvslvm refuses logical volumes of more than one segment and groups of two physical volumes.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from api.inspector.errors import Notes, UnreadableError
from api.inspector.limits import KIB, MAX_VOLUMES, MIB
from api.inspector.sources import ByteSource, read_exactly

_SECTOR = 512
_LABEL = struct.Struct("<8sQII8s")
_LABEL_TYPE = b"LVM2 001"
_AREA = struct.Struct("<QQ")
_METADATA_HEADER = struct.Struct("<I16sIQQ")
_METADATA_MAGIC = b" LVM2 x[5A%r0N*>"
_LOCATION = struct.Struct("<QQII")
_IGNORED = 1
_MAX_METADATA = 4 * MIB
_MAX_AREAS = 16
_MAX_SEGMENTS = 10_000
_MAX_DEPTH = 16

_TOKEN = re.compile(
    r"""\s+ | \#[^\n]*
    | (?P<string>"(?:[^"\\]|\\.)*") | (?P<number>-?\d+(?:\.\d+)?) | (?P<name>[\w.+\-/]+)
    | (?P<mark>[{}\[\]=,])""",
    re.VERBOSE,
)

Section = dict[str, Any]


class PhysicalVolume(NamedTuple):
    """A partition that belongs to a group, and what it says of the group."""

    id: str
    source: ByteSource
    metadata: str


class LogicalVolume(NamedTuple):
    """A volume of a group; without a source, ``kind`` names what our code does not read."""

    group: str
    name: str
    kind: str
    source: ByteSource | None


class _Stripe(NamedTuple):
    source: ByteSource | None
    offset: int


class _Segment(NamedTuple):
    start: int
    size: int
    stripes: list[_Stripe]
    stripe_size: int


class MappedSource:
    """A logical volume as a source: its segments lie anywhere in the group's partitions."""

    def __init__(self, segments: list[_Segment], block_size: int) -> None:
        self._segments = sorted(segments)
        self.size = max((one.start + one.size for one in segments), default=0)
        self.block_size = block_size

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``sources.ByteSource``."""
        end = min(offset + size, self.size)
        parts = []
        while offset < end:
            part = self._piece(offset, end - offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, offset: int, size: int) -> bytes:
        for segment in self._segments:
            if segment.start <= offset < segment.start + segment.size:
                return _read_segment(segment, offset - segment.start, size)
        raise UnreadableError(f"nothing is mapped at {offset}")


def _read_segment(segment: _Segment, offset: int, size: int) -> bytes:
    """Read up to the end of the stripe, or of the segment if it has only one."""
    count = len(segment.stripes)
    row, within = divmod(offset, segment.stripe_size) if count > 1 else (0, offset)
    line, column = divmod(row, count)
    stripe = segment.stripes[column]
    if stripe.source is None:
        raise UnreadableError("lies on a physical volume that is missing")
    left = (segment.stripe_size if count > 1 else segment.size) - within
    at = stripe.offset + line * segment.stripe_size + within
    return stripe.source.read(at, min(size, left, segment.size - offset))


def read_physical_volume(source: ByteSource) -> PhysicalVolume:
    """Read label and metadata of a partition. Raises UnreadableError."""
    for sector in range(4):
        label = source.read(sector * _SECTOR, _SECTOR)
        if label.startswith(b"LABELONE"):
            break
    else:
        raise UnreadableError("has no label of LVM")
    _, _, _, header, kind = _LABEL.unpack_from(label)
    if kind != _LABEL_TYPE or not _LABEL.size <= header <= _SECTOR - 40:
        raise UnreadableError("has a label of LVM that is not understood")
    areas = _areas(source, sector * _SECTOR + header + 40)
    _data, metadata = next(areas), next(areas)
    errors = []
    for offset, size in metadata:
        try:
            text = _metadata(source, offset, size)
        except UnreadableError as error:
            errors.append(str(error))
            continue
        return PhysicalVolume(_id(label[header : header + 32]), source, text)
    if errors:
        raise UnreadableError(f"metadata of LVM: {errors[0]}")
    # Not each partition of a group needs a copy of the metadata.
    return PhysicalVolume(_id(label[header : header + 32]), source, "")


def _id(raw: bytes) -> str:
    return raw.decode("ascii", "replace")


def _areas(source: ByteSource, at: int) -> Iterator[list[tuple[int, int]]]:
    """Yield lists of offset and size: of the data areas, then of the metadata areas."""
    for _ in range(2):
        found: list[tuple[int, int]] = []
        while len(found) < _MAX_AREAS:
            offset, size = _AREA.unpack(read_exactly(source, at, _AREA.size))
            at += _AREA.size
            if not offset:
                break
            found.append((offset, size))
        yield found


def _metadata(source: ByteSource, offset: int, size: int) -> str:
    header = read_exactly(source, offset, _SECTOR)
    _, magic, _, _, _ = _METADATA_HEADER.unpack_from(header)
    if magic != _METADATA_MAGIC:
        raise UnreadableError("has no header")
    start, length, _, flags = _LOCATION.unpack_from(header, _METADATA_HEADER.size)
    if not start or flags & _IGNORED:
        return ""
    if length > _MAX_METADATA or not _SECTOR <= start < size:
        raise UnreadableError("has a wrong size")
    # The area is a ring behind its header.
    first = min(length, size - start)
    text = read_exactly(source, offset + start, first)
    text += read_exactly(source, offset + _SECTOR, length - first)
    return text.rstrip(b"\0").decode("utf-8", "replace")


def logical_volumes(
    members: Iterable[PhysicalVolume], notes: Notes, path: str
) -> list[LogicalVolume]:
    """Return the visible volumes of all groups that these partitions form."""
    sources = {member.id: member.source for member in members}
    newest: dict[str, tuple[int, Section]] = {}
    for member in members:
        if not member.metadata:
            continue
        try:
            parsed = parse(member.metadata)
        except UnreadableError as error:
            notes.add(path, f"metadata of LVM: {error}")
            continue
        for name, group in parsed.items():
            number = _number(group.get("seqno")) if isinstance(group, dict) else -1
            if number > newest.get(name, (-1, {}))[0]:
                newest[name] = number, group
    found = []
    for name, (_, group) in sorted(newest.items()):
        found += _volumes_of(name, group, sources, notes, path)
    return found[:MAX_VOLUMES]


def _volumes_of(
    name: str, group: Section, sources: Mapping[str, ByteSource], notes: Notes, path: str
) -> list[LogicalVolume]:
    found = []
    for volume, description in _sections(group.get("logical_volumes")):
        if "VISIBLE" not in _list(description.get("status")):
            continue
        try:
            found.append(_volume(name, volume, group, description, sources))
        except (UnreadableError, ValueError, TypeError, IndexError) as error:
            notes.add(path, f"logical volume {name}/{volume}: {error}")
    return found


def _volume(
    group_name: str,
    name: str,
    group: Section,
    description: Section,
    sources: Mapping[str, ByteSource],
) -> LogicalVolume:
    segments = [
        segment for key, segment in _sections(description) if re.fullmatch(r"segment\d+", key)
    ]
    kinds = {str(segment.get("type")) for segment in segments} or {"empty"}
    if kinds != {"striped"}:
        # "striped" is what LVM calls linear ones, too.
        other = min(kinds - {"striped"})
        return LogicalVolume(group_name, name, other, None)
    if len(segments) > _MAX_SEGMENTS:
        raise UnreadableError(f"has {len(segments)} segments")
    extent = _number(group.get("extent_size")) * _SECTOR
    volumes = {
        key: _Stripe(
            sources.get(str(one.get("id")).replace("-", "")),
            _number(one.get("pe_start")) * _SECTOR,
        )
        for key, one in _sections(group.get("physical_volumes"))
    }
    mapped = [_segment(segment, extent, volumes) for segment in segments]
    block_size = min((one.block_size for one in sources.values()), default=64 * KIB)
    return LogicalVolume(group_name, name, "striped", MappedSource(mapped, block_size))


def _segment(segment: Section, extent: int, volumes: Mapping[str, _Stripe]) -> _Segment:
    places = _list(segment.get("stripes"))
    pairs = list(zip(places[::2], places[1::2], strict=True))
    if not pairs or len(pairs) != _number(segment.get("stripe_count")):
        raise UnreadableError("has a segment with a wrong number of stripes")
    stripes = []
    for name, first in pairs:
        volume = volumes.get(str(name), _Stripe(None, 0))
        stripes.append(_Stripe(volume.source, volume.offset + _number(first) * extent))
    stripe_size = _number(segment.get("stripe_size", 0)) * _SECTOR
    if len(pairs) > 1 and stripe_size <= 0:
        raise UnreadableError("has stripes without a size")
    return _Segment(
        start=_number(segment.get("start_extent")) * extent,
        size=_number(segment.get("extent_count")) * extent,
        stripes=stripes,
        stripe_size=stripe_size,
    )


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise UnreadableError(f"has {str(value)[:20]!r} where a number must be")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sections(value: Any) -> list[tuple[str, Section]]:
    items = value.items() if isinstance(value, dict) else ()
    return [(key, one) for key, one in items if isinstance(one, dict)]


def parse(text: str) -> Section:
    """Parse the text in which LVM describes a group: sections, lists, strings, numbers.

    Raises UnreadableError.
    """
    return _Parser(text).section(depth=0)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = self._split(text)
        self._ahead = next(self._tokens)

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str]]:
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise UnreadableError(f"is not understood at {at}")
            at = found.end()
            if found.lastgroup:
                yield found.lastgroup, found.group()
        while True:
            yield "end", ""

    def _next(self) -> tuple[str, str]:
        token, self._ahead = self._ahead, next(self._tokens)
        return token

    def section(self, *, depth: int) -> Section:
        """Parse what lies between two braces, or all of the text."""
        if depth > _MAX_DEPTH:
            raise UnreadableError("has too many sections in each other")
        found: Section = {}
        while True:
            kind, text = self._next()
            if (kind, text) == (("mark", "}") if depth else ("end", "")):
                return found
            if kind not in ("name", "number", "string"):
                raise UnreadableError(f"has {text[:20]!r} where a name must be")
            name = text.strip('"')
            mark = self._next()[1]
            if mark == "{":
                found[name] = self.section(depth=depth + 1)
            elif mark == "=":
                found[name] = self._value()
            else:
                raise UnreadableError(f"has {mark[:20]!r} behind a name")

    def _value(self) -> Any:
        kind, text = self._next()
        if text == "[" and kind == "mark":
            return self._list()
        return self._scalar(kind, text)

    def _list(self) -> list[Any]:
        found: list[Any] = []
        while True:
            kind, text = self._next()
            if kind == "mark" and text == "]":
                return found
            if kind == "mark" and text == ",":
                continue
            found.append(self._scalar(kind, text))

    @staticmethod
    def _scalar(kind: str, text: str) -> Any:
        if kind == "number":
            return float(text) if "." in text else int(text[:20])
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        raise UnreadableError(f"has {text[:20]!r} where a value must be")
