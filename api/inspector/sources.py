"""Things that can be read at an offset, and nothing but read (spec 13 §1)."""

import os
import stat
from collections import OrderedDict
from pathlib import Path
from typing import Protocol, Self

from api.inspector.errors import UnreadableError
from api.inspector.limits import KIB


class ByteSource(Protocol):
    """Bytes in a row. ``block_size`` is how many of them are best read at once."""

    size: int
    block_size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes: fewer than asked for only where the source ends.

        Raises UnreadableError for bytes that are there but cannot be read, LimitError if too much
        was read.
        """


class FileSource:
    """A regular file or a block device of this machine, opened for reading only.

    Raises UnreadableError if it is neither, or may not be read.
    """

    block_size = 64 * KIB

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableError(f"cannot be opened: {error.strerror}") from error
        mode = os.fstat(self._file).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            os.close(self._file)
            raise UnreadableError("is neither a file nor a block device")
        # A block device has no size of its own but the offset of its end.
        self.size = os.lseek(self._file, 0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``ByteSource``."""
        wanted = max(0, min(size, self.size - offset))
        try:
            data = os.pread(self._file, wanted, offset)
            while data and len(data) < wanted:
                more = os.pread(self._file, wanted - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise UnreadableError(f"cannot read at {offset}: {error.strerror}") from error
        return data


class Slice:
    """A part of another source: a partition. It may claim more than there is."""

    def __init__(self, source: ByteSource, offset: int, size: int) -> None:
        self._source = source
        self._offset = offset
        self.size = size
        self.block_size = source.block_size

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``ByteSource``."""
        wanted = min(size, self.size - offset)
        return self._source.read(self._offset + offset, wanted) if wanted > 0 else b""


class Cached:
    """Keeps the blocks of a source that were read last."""

    def __init__(self, source: ByteSource, *, blocks: int) -> None:
        self._source = source
        self._blocks = blocks
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self.size = source.size
        self.block_size = source.block_size

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``ByteSource``."""
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        first, last = offset // self.block_size, (end - 1) // self.block_size
        if last - first >= self._blocks:
            return self._source.read(offset, end - offset)
        if last > first:
            self._fill(first, last)
        parts = [self._block(number) for number in range(first, last + 1)]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        start = first * self.block_size
        return data[offset - start : end - start]

    def _fill(self, first: int, last: int) -> None:
        """Read what is missing of a run of blocks at once, from the first to the last of it."""
        missing = [number for number in range(first, last + 1) if number not in self._cache]
        if len(missing) < 2:
            return
        start = missing[0]
        data = self._source.read(
            start * self.block_size, (missing[-1] + 1 - start) * self.block_size
        )
        for number in range(start, missing[-1] + 1):
            at = (number - start) * self.block_size
            self._keep(number, data[at : at + self.block_size])

    def _block(self, number: int) -> bytes:
        data = self._cache.get(number)
        if data is None:
            data = self._source.read(number * self.block_size, self.block_size)
            self._keep(number, data)
        else:
            self._cache.move_to_end(number)
        return data

    def _keep(self, number: int, data: bytes) -> None:
        self._cache[number] = data
        self._cache.move_to_end(number)
        while len(self._cache) > self._blocks:
            self._cache.popitem(last=False)


class File:
    """A source with the methods that libraries want of a file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._offset = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        size = self._source.size - self._offset if size < 0 else size
        data = self._source.read(self._offset, size)
        self._offset += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset, from start, here, or end; return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._source.size}[whence]
        self._offset = max(0, base + offset)
        return self._offset

    def tell(self) -> int:
        """Return the offset."""
        return self._offset

    def get_offset(self) -> int:
        """Return the offset, under the name that libyal has for it."""
        return self._offset

    def get_size(self) -> int:
        """Return how many bytes there are."""
        return self._source.size


def read_exactly(source: ByteSource, offset: int, size: int) -> bytes:
    """Return so many bytes, no fewer. Raises UnreadableError where the source ends before."""
    data = source.read(offset, size)
    if len(data) < size:
        raise UnreadableError(f"ends before {offset + size}")
    return data
