"""Small disks with real file systems, compressed; ``make`` has made them."""

import functools
import lzma
from pathlib import Path

FOLDER = Path(__file__).parent
SUFFIX = ".img.xz"
MAX_SIZE = 200_000
"""Bytes that one compressed image may have."""


def names() -> list[str]:
    """Return the names of all images."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


@functools.lru_cache(maxsize=4)
def content(name: str) -> bytes:
    """Return what is on a disk."""
    return lzma.decompress((FOLDER / f"{name}{SUFFIX}").read_bytes())


def unpack(name: str, folder: Path) -> Path:
    """Write a disk as a file; return its path."""
    path = folder / f"{name}.img"
    path.write_bytes(content(name))
    return path
