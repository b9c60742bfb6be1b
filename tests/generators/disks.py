"""Disks with real file systems, made without root: partition tables, logical volumes, mkfs."""

import itertools
import os
import shutil
import struct
import subprocess
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MIB = 1024 * 1024
LINUX, EXTENDED, LVM_TYPE = 0x83, 0x05, 0x8E
_LINUX_GUID = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
_DISK_GUID = uuid.UUID("6b1d2c3a-0000-4000-8000-000000000001")
_GPT_ENTRIES, _GPT_ENTRY_SIZE = 128, 128

# Without these mkfs.xfs refuses file systems below 300 MB. Times and ids are always the same, too.
_SMALL_XFS = {"TEST_DIR": "/", "TEST_DEV": "/dev/null", "QA_CHECK_FS": "1"}
_ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", **_SMALL_XFS}


def can_make(kind: str) -> bool:
    """Return whether this machine has the program that makes such a file system."""
    return program(f"mkfs.{kind}" if kind == "xfs" else "mke2fs") is not None


def program(name: str) -> str | None:
    """Return where a program is, also one for administrators alone; None if it is nowhere."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def make_file_system(kind: str, tree: Path, image: Path, *, size: int, options: Sequence[str] = ()):
    """Make a file system, ``xfs`` or one of ext, with the files of a directory in it."""
    with image.open("wb") as file:
        file.truncate(size)
    command: list[str | Path]
    if kind == "xfs":
        prototype = image.with_suffix(".proto")
        prototype.write_text(xfs_prototype(tree))
        command = ["mkfs.xfs", "-q", "-f", *options, "-p", prototype, image]
    else:
        command = ["mke2fs", "-q", "-F", "-t", kind, *options, "-d", tree, image]
    command[0] = program(str(command[0])) or str(command[0])
    subprocess.run(command, check=True, env=_ENVIRONMENT, capture_output=True)
    image.with_suffix(".proto").unlink(missing_ok=True)


def xfs_prototype(tree: Path) -> str:
    """Return the file that tells mkfs.xfs what to put into a file system."""
    return "\n".join(["/", "0 0", "d--755 0 0", *_prototype_lines(tree), "$", "$", ""])


def _prototype_lines(folder: Path):
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name} l--777 0 0 {path.readlink()}"
        elif path.is_dir():
            yield f"{path.name} d--755 0 0"
            yield from _prototype_lines(path)
            yield "$"
        else:
            yield f"{path.name} ---644 0 0 {path}"


def with_gpt(volumes: Sequence[bytes], *, sector: int = 512) -> bytes:
    """Return a disk with a GPT, each volume in a partition that begins at a whole MiB."""
    offsets, size = _places(volumes)
    disk = bytearray(size + MIB)
    last = len(disk) // sector - 1
    table_sectors = _GPT_ENTRIES * _GPT_ENTRY_SIZE // sector
    table = b""
    for index, (offset, volume) in enumerate(zip(offsets, volumes, strict=True)):
        disk[offset : offset + len(volume)] = volume
        first = offset // sector
        table += struct.pack(
            "<16s16sQQQ72s",
            _LINUX_GUID,
            uuid.UUID(int=_DISK_GUID.int + index + 1).bytes_le,
            first,
            first + -(-len(volume) // sector) - 1,
            0,
            f"part{index + 1}".encode("utf-16-le"),
        )
    table = table.ljust(_GPT_ENTRIES * _GPT_ENTRY_SIZE, b"\0")

    def header(own: int, other: int, table_at: int) -> bytes:
        fields = [b"EFI PART", 0x10000, 92, 0, 0, own, other, 2 + table_sectors]
        fields += [last - table_sectors - 1, _DISK_GUID.bytes_le, table_at]
        fields += [_GPT_ENTRIES, _GPT_ENTRY_SIZE, zlib.crc32(table)]
        made = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
        return made[:16] + struct.pack("<I", zlib.crc32(made)) + made[20:]

    _put_entries(disk, [(0xEE, 1, last)])
    disk[sector : sector + 92] = header(1, last, 2)
    disk[2 * sector : 2 * sector + len(table)] = table
    backup = last - table_sectors
    disk[backup * sector : backup * sector + len(table)] = table
    disk[last * sector : last * sector + 92] = header(last, 1, backup)
    return bytes(disk)


def with_mbr(volumes: Sequence[bytes], *, primary: int = 4, sector: int = 512, kind: int = LINUX):
    """Return a disk with an MBR; volumes behind the first ``primary`` lie in an extended one."""
    offsets, size = _places(volumes)
    disk = bytearray(size + MIB)
    for offset, volume in zip(offsets, volumes, strict=True):
        disk[offset : offset + len(volume)] = volume
    parts = [
        (offset // sector, -(-len(volume) // sector))
        for offset, volume in zip(offsets, volumes, strict=True)
    ]
    entries = [(kind, *part) for part in parts[:primary]]
    logical = parts[primary:]
    if logical:
        # Each logical partition has its table half a MiB before it.
        gap = MIB // 2 // sector
        start = logical[0][0] - gap
        entries.append((EXTENDED, start, len(disk) // sector - start))
        for index, (first, count) in enumerate(logical):
            link = [(kind, gap, count)]
            if index + 1 < len(logical):
                following = logical[index + 1][0] - gap
                link.append((EXTENDED, following - start, logical[index + 1][1] + gap))
            _put_entries(disk, link, at=(first - gap) * sector)
    _put_entries(disk, entries)
    return bytes(disk)


def _places(volumes: Sequence[bytes]) -> tuple[list[int], int]:
    offsets, at = [], MIB
    for volume in volumes:
        offsets.append(at)
        at += -(-len(volume) // MIB) * MIB + MIB
    return offsets, at


def _put_entries(disk: bytearray, entries: Sequence[tuple[int, int, int]], *, at: int = 0) -> None:
    for index, (kind, first, count) in enumerate(entries):
        entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", kind, b"\xff\xff\xff", first, count)
        disk[at + 446 + 16 * index : at + 462 + 16 * index] = entry
    disk[at + 510 : at + 512] = b"\x55\xaa"


class Segment(NamedTuple):
    """Extents of a logical volume, on one physical volume or in stripes on several."""

    extents: int
    places: Sequence[tuple[int, int]]
    stripe_size: int = 0
    kind: str = "striped"


EXTENT = MIB
_EXTENTS_AT = MIB


class Group:
    """A volume group, to be laid out on physical volumes of so many extents each."""

    def __init__(self, sizes: Sequence[int], *, name: str = "rhel") -> None:
        self._name = name
        self._sizes = sizes
        self._volumes: dict[str, Sequence[Segment]] = {}
        self._data = [bytearray(_EXTENTS_AT + size * EXTENT) for size in sizes]

    def add(self, name: str, content: bytes, segments: Sequence[Segment]) -> None:
        """Add a logical volume, and put its content where the segments say."""
        self._volumes[name] = segments
        at = 0
        for segment in segments:
            part = content[at : at + segment.extents * EXTENT]
            at += len(part)
            self._put(segment, part)

    def _put(self, segment: Segment, part: bytes) -> None:
        step = segment.stripe_size or len(part) or 1
        for index in range(0, -(-len(part) // step)):
            line, column = divmod(index, len(segment.places))
            volume, first = segment.places[column]
            start = _EXTENTS_AT + first * EXTENT + line * step
            piece = part[index * step : (index + 1) * step]
            self._data[volume][start : start + len(piece)] = piece

    def physical_volumes(self) -> list[bytes]:
        """Return what the physical volumes hold, labels and metadata included."""
        text = self._text().encode() + b"\0"
        made = []
        for index, data in enumerate(self._data):
            label = struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001")
            label += _lvm_id(index).replace("-", "").encode()
            label += struct.pack("<Q", len(data))
            label += struct.pack("<QQQQ", _EXTENTS_AT, 0, 0, 0)
            label += struct.pack("<QQQQ", 4096, _EXTENTS_AT - 4096, 0, 0)
            label = label.ljust(512, b"\0")
            label = label[:16] + struct.pack("<I", _lvm_crc(label[20:])) + label[20:]
            data[512:1024] = label
            location = struct.pack("<QQII", 512, len(text), _lvm_crc(text), 0)
            header = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, 4096, _EXTENTS_AT - 4096)
            header = (header + location).ljust(508, b"\0")
            data[4096:4608] = struct.pack("<I", _lvm_crc(header)) + header
            data[4608 : 4608 + len(text)] = text
            made.append(bytes(data))
        return made

    def _text(self) -> str:
        volumes = "".join(
            f'pv{index} {{\nid = "{_lvm_id(index)}"\ndevice = "/dev/vd{index}"\n'
            f'status = ["ALLOCATABLE"]\nflags = []\ndev_size = {(size + 1) * EXTENT // 512}\n'
            f"pe_start = {_EXTENTS_AT // 512}\npe_count = {size}\n}}\n"
            for index, size in enumerate(self._sizes)
        )
        logical = "".join(
            self._logical_text(index, name, segments)
            for index, (name, segments) in enumerate(self._volumes.items())
        )
        return (
            f'{self._name} {{\nid = "{_lvm_id(100)}"\nseqno = 2\nformat = "lvm2"\n'
            f'status = ["RESIZEABLE", "READ", "WRITE"]\nflags = []\n'
            f"extent_size = {EXTENT // 512}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n"
            f"physical_volumes {{\n{volumes}}}\nlogical_volumes {{\n{logical}}}\n}}\n"
            '# Generated by a test\ncontents = "Text Format Volume Group"\nversion = 1\n'
            'description = "Created \\"by\\" a test"\ncreation_host = "test"\n'
            "creation_time = 1700000000\n"
        )

    @staticmethod
    def _logical_text(index: int, name: str, segments: Sequence[Segment]) -> str:
        text, start = "", 0
        for number, segment in enumerate(segments, 1):
            places = ", ".join(f'"pv{volume}", {first}' for volume, first in segment.places)
            stripes = f"stripe_size = {segment.stripe_size // 512}\n" if segment.stripe_size else ""
            text += (
                f"segment{number} {{\nstart_extent = {start}\nextent_count = {segment.extents}\n"
                f'type = "{segment.kind}"\nstripe_count = {len(segment.places)}\n{stripes}'
                f"stripes = [\n{places}\n]\n}}\n"
            )
            start += segment.extents
        return (
            f'{name} {{\nid = "{_lvm_id(200 + index)}"\nstatus = ["READ", "WRITE", "VISIBLE"]\n'
            f'flags = []\ncreation_time = 1700000000\ncreation_host = "test"\n'
            f"segment_count = {len(segments)}\n{text}}}\n"
        )


def linear(content: bytes, *, name: str = "root", group: str = "rhel") -> bytes:
    """Return a physical volume with one logical volume of one segment."""
    extents = -(-len(content) // EXTENT)
    made = Group([extents], name=group)
    made.add(name, content, [Segment(extents, [(0, 0)])])
    return made.physical_volumes()[0]


def _lvm_id(number: int) -> str:
    text = f"{number:032d}"
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(text[a:b] for a, b in itertools.pairwise(cuts))


def _lvm_crc(data: bytes) -> int:
    """Return LVM's checksum: that of zlib with a start of its own, not inverted."""
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def write_tree(root: Path, files: Mapping[str, str | bytes], links: Mapping[str, str] = {}) -> Path:
    """Write files and symbolic links below a directory; return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, target in links.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return root
