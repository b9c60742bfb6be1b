"""Copies of databases, for readers that jump about in them or have to write."""

from pathlib import Path

from api.inspector.errors import LimitError, UnreadableError
from api.inspector.limits import MAX_DATABASE, MIB
from api.inspector.sources import ByteSource

_AT_ONCE = 4 * MIB


def copy_out(file: ByteSource, target: Path) -> None:
    """Write a file of an image to one of this machine, holes as holes.

    Raises LimitError for one that is too large for a database, UnreadableError.
    """
    if file.size > MAX_DATABASE:
        raise LimitError(f"has {file.size} bytes, more than {MAX_DATABASE}")
    with target.open("wb") as copy:
        at = 0
        while at < file.size:
            data = file.read(at, _AT_ONCE)
            if not data:
                raise UnreadableError(f"ends after {at} of {file.size} bytes")
            if data.count(0) == len(data):
                copy.seek(len(data), 1)
                copy.truncate()
            else:
                copy.write(data)
            at += len(data)
