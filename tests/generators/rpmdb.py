"""Databases of rpm, in the forms that RHEL 6 to 10 and Fedora have had."""

import base64
import random
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

RED_HAT = "199e2f91fd431d51"
RED_HAT_AUXILIARY = "5326810137017186"
CENTOS = "05b555b38483c65d"
FEDORA = "809a8d7ceb10b464"
ORACLE = "82562ea9ad986da3"

NAME, VERSION, RELEASE, SUMMARY, DESCRIPTION, ARCH = 1000, 1001, 1002, 1004, 1005, 1022
PGP, GPG, DSA, RSA, OPENPGP = 259, 262, 267, 268, 278
_IMMUTABLE = 63
_STRING, _BINARY, _STRINGS, _TRANSLATED = 6, 7, 8, 9
_REGION_SIZE = 16


class Package(NamedTuple):
    """A package to be written; without a key it has no signature."""

    name: str
    key_id: str | None = None
    tag: int = RSA
    form: int = 4
    size: int = 200


def packages(number: int, key_id: str | None, *, prefix: str = "package", size: int = 200):
    """Return so many packages of one signer; ``size`` is about that of a header, in bytes."""
    return [Package(f"{prefix}-{index}", key_id, size=size) for index in range(number)]


def signature(key_id: str, form: int = 4) -> bytes:
    """Return an OpenPGP signature of version 3, 4 or 6 that names a key."""
    key = bytes.fromhex(key_id)
    if form == 3:
        body = b"\x03\x05\x00" + bytes(4) + key + b"\x01\x08" + bytes(2) + b"\x00\x08\xff"
    elif form == 4:
        created = b"\x05\x02" + bytes(4)
        issuer = b"\x09\x10" + key
        body = b"\x04\x00\x01\x08" + _area(created, 2) + _area(issuer, 2) + bytes(2)
        body += b"\x00\x08\xff"
    else:
        fingerprint = b"\x22\x21\x06" + key + bytes(24)
        body = b"\x06\x00\x1b\x08" + _area(fingerprint, 4) + _area(b"", 4) + bytes(2) + b"\x00"
    return b"\x89" + struct.pack(">H", len(body)) + body


def _area(subpackets: bytes, width: int) -> bytes:
    return len(subpackets).to_bytes(width) + subpackets


def header(package: Package) -> bytes:
    """Return a header as rpm stores it: the package's own part, and behind it the signature."""
    rubbish = random.Random(package.name).randbytes(package.size // 2).hex()
    own = [
        (NAME, _STRING, package.name.encode() + b"\0", 1),
        (VERSION, _STRING, b"1.0\0", 1),
        (RELEASE, _STRING, b"1\0", 1),
        (SUMMARY, _TRANSLATED, b"A package\0", 1),
        (DESCRIPTION, _TRANSLATED, rubbish.encode() + b"\0", 1),
        (ARCH, _STRING, b"x86_64\0", 1),
    ]
    added = []
    if package.key_id:
        signed = signature(package.key_id, package.form)
        if package.tag == OPENPGP:
            added.append((OPENPGP, _STRINGS, base64.b64encode(signed) + b"\0", 1))
        else:
            added.append((package.tag, _BINARY, signed, len(signed)))
    index, data = b"", b""
    for tag, kind, content, count in own:
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += content
    region = struct.pack(">IIII", _IMMUTABLE, _BINARY, len(data), _REGION_SIZE)
    data += struct.pack(">IIiI", _IMMUTABLE, _BINARY, -(len(own) + 1) * _REGION_SIZE, _REGION_SIZE)
    index = region + index
    for tag, kind, content, count in added:
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += content
    return struct.pack(">II", len(index) // 16, len(data)) + index + data


def write_sqlite(path: Path, headers: Iterable[bytes], *, in_log: Iterable[bytes] = ()) -> None:
    """Write ``rpmdb.sqlite``; headers ``in_log`` are in its ``-wal`` only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS 'Packages' "
            "(hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"
        )
        insert = "INSERT INTO Packages (blob) VALUES (?)"
        connection.execute("BEGIN")
        connection.executemany(insert, ((blob,) for blob in headers))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        later = list(in_log)
        if later:
            connection.executemany(insert, ((blob,) for blob in later))
            # The end of the last connection would empty the log.
            log = Path(f"{path}-wal").read_bytes()
            main = path.read_bytes()
    if later:
        path.write_bytes(main)
        Path(f"{path}-wal").write_bytes(log)
    else:
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def scattered(database: bytes, *, page_size: int = 4096) -> bytes:
    """Return ``Packages`` as years of updates leave it: pages of headers anywhere in the file."""
    pages = [database[at : at + page_size] for at in range(0, len(database), page_size)]
    moved = [number for number, page in enumerate(pages) if page[25] == 7]
    places = random.Random(1).sample(moved, len(moved))
    new = dict(zip(moved, places, strict=True))
    made = list(pages)
    for number, page in enumerate(pages):
        changed = bytearray(page)
        if page[25] == 7:
            (following,) = struct.unpack_from("<I", page, 16)
            struct.pack_into("<II", changed, 8, new[number], 0)
            struct.pack_into("<I", changed, 16, new.get(following, 0))
        elif page[25] == 13:
            (count,) = struct.unpack_from("<H", page, 20)
            for offset in struct.unpack_from(f"<{count}H", page, 26):
                if page[offset] == 3:
                    (first,) = struct.unpack_from("<I", page, offset + 4)
                    struct.pack_into("<I", changed, offset + 4, new[first])
        made[new.get(number, number)] = bytes(changed)
    return b"".join(made)


def berkeley(headers: Iterable[bytes], *, page_size: int = 4096, order: str = "<") -> bytes:
    """Return ``Packages`` of Berkeley DB: a hash of one bucket, headers in overflow pages."""
    pages: list[bytes] = [b"", b""]
    items: list[bytes] = []

    def page(kind: int, used: int, entries: int, content: bytes, following: int = 0) -> bytes:
        head = struct.pack(f"{order}8xIIIHHBB", len(pages), 0, following, entries, used, 0, kind)
        return (head + content).ljust(page_size, b"\0")

    room = page_size - 26
    everything = [struct.pack(f"{order}I", 0), *headers]
    for number, blob in enumerate(everything):
        items.append(b"\x01" + struct.pack(f"{order}I", number))
        if number == 0:
            items.append(b"\x01" + struct.pack(f"{order}I", len(everything)))
            continue
        items.append(b"\x03\0\0\0" + struct.pack(f"{order}II", len(pages), len(blob)))
        parts = [blob[at : at + room] for at in range(0, len(blob), room)]
        for index, part in enumerate(parts):
            following = len(pages) + 1 if index + 1 < len(parts) else 0
            pages.append(page(7, len(part), 1, part, following))
    chunk = 120
    leaves = [items[at : at + chunk] for at in range(0, len(items), chunk)]
    for index, leaf in enumerate(leaves):
        content, offsets, end = b"", [], page_size
        for item in leaf:
            end -= len(item)
            offsets.append(end)
            content = item + content
        index_bytes = struct.pack(f"{order}{len(offsets)}H", *offsets)
        body = index_bytes + bytes(page_size - 26 - len(index_bytes) - len(content)) + content
        following = 0 if index + 1 == len(leaves) else len(pages) + (0 if index == 0 else 1)
        made = page(13, end, len(offsets), body, following)
        if index == 0:
            pages[1] = made[:8] + struct.pack(f"{order}I", 1) + made[12:]
        else:
            pages.append(made)
    meta = struct.pack(
        f"{order}8xIIIIBBBBII20x", 0, 0x061561, 9, page_size, 0, 8, 0, 0, 0, len(pages) - 1
    )
    meta = meta.ljust(72, b"\0") + struct.pack(f"{order}IIIIII", 0, 1, 0, 8, len(everything), 0)
    meta += struct.pack(f"{order}32I", 1, *([0] * 31))
    pages[0] = meta.ljust(page_size, b"\0")
    return b"".join(pages)


def ndb(headers: Iterable[bytes]) -> bytes:
    """Return ``Packages.db`` of rpm's own format."""
    blobs = list(headers)
    slot_pages = (len(blobs) + 2) * 16 // 4096 + 1
    slots, content = b"", b""
    start = slot_pages * 4096
    for number, blob in enumerate(blobs, 1):
        raw = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        raw += bytes(-(len(raw) + 12) % 16) + struct.pack("<II4s", 0, len(blob), b"BlbE")
        slots += struct.pack(
            "<4sIII", b"Slot", number, (start + len(content)) // 16, len(raw) // 16
        )
        content += raw
    slots = slots.ljust(slot_pages * 4096 - 32, b"\0")
    # Empty slots have their magic number, too.
    empty = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    used = len(blobs) * 16
    slots = slots[:used] + empty * ((len(slots) - used) // 16)
    head = struct.pack("<4sIIIIIII", b"RpmP", 0, 1, slot_pages, len(blobs) + 1, 0, 0, 0)
    return head + slots + content
