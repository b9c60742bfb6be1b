"""The architecture that an image's programs are made for (spec 13 §2, §6)."""

import struct

from api.inspector.errors import LimitError, UnreadableError
from api.inspector.tree import Tree

PROGRAMS = (
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib64/ld64.so.2",
    "/lib/ld64.so.1",
    "/lib/ld-linux.so.2",
    "/bin/sh",
)
_HEADER = 20
_NAMES = {62: "x86_64", 183: "arm64", 22: "s390x", 3: "i386", 40: "arm", 243: "riscv"}
_POWERPC_64 = 21
_BYTE_ORDERS = {1: "<", 2: ">"}


def find_architecture(tree: Tree) -> str | None:
    """Return the architecture of the first program that is one; None without any."""
    for path in PROGRAMS:
        try:
            file = tree.open(path)
            header = file.read(0, _HEADER) if file else b""
        except (UnreadableError, LimitError) as error:
            tree.notes.add(path, error)
            continue
        name = _name(header)
        if name:
            return name
    return None


def _name(header: bytes) -> str | None:
    if len(header) < _HEADER or not header.startswith(b"\x7fELF") or header[5] not in _BYTE_ORDERS:
        return None
    (machine,) = struct.unpack_from(f"{_BYTE_ORDERS[header[5]]}H", header, 18)
    if machine == _POWERPC_64:
        return "ppc64le" if header[5] == 1 else "ppc64"
    return _NAMES.get(machine, f"ELF machine {machine}")
