"""Berkeley DB, as far as rpm's ``Packages`` needs it: hash and B-tree, read page by page.

All pages are looked at instead of those that the index names, so that a damaged page hides only
what is on it.
"""

import struct
from collections.abc import Iterator

from api.inspector.errors import Notes, UnreadableError
from api.inspector.limits import MIB
from api.inspector.rpmheader import MAX_HEADER
from api.inspector.sources import ByteSource, Cached, read_exactly

_HASH_MAGIC = 0x061561
_BTREE_MAGIC = 0x053162
_MAGIC_AT = 12
_PAGE_HEADER_SIZE = 26
_OVERFLOW = 7
_HASH = frozenset({2, 13})
_BTREE_LEAF = 5
_ENCRYPTED_AT = 24

_HASH_DATA, _HASH_OFF_PAGE = 1, 3
_BTREE_DATA, _BTREE_OFF_PAGE = 1, 3
_DELETED = 0x80
_MAX_RECORDS = 200_000
_MAX_TOTAL = 1024 * MIB


class Database:
    """A database of pairs, in a file of an image. Raises UnreadableError if it is none."""

    def __init__(self, file: ByteSource, notes: Notes, path: str) -> None:
        meta = read_exactly(file, 0, 72)
        self._order = next(
            (
                order
                for order in "<>"
                if struct.unpack_from(f"{order}I", meta, _MAGIC_AT)[0]
                in (_HASH_MAGIC, _BTREE_MAGIC)
            ),
            "",
        )
        if not self._order:
            raise UnreadableError("is no Berkeley DB")
        (self._page_size,) = struct.unpack_from(f"{self._order}I", meta, 20)
        if not 512 <= self._page_size <= 65536 or self._page_size & (self._page_size - 1):
            raise UnreadableError(f"has pages of {self._page_size} bytes")
        if meta[_ENCRYPTED_AT]:
            raise UnreadableError("is encrypted")
        self._header = struct.Struct(f"{self._order}8xIIIHHBB")
        self._off_page = struct.Struct(f"{self._order}4xII")
        self._file = Cached(file, blocks=64)
        self._pages = file.size // self._page_size
        self._notes = notes
        self._path = path
        self._read = 0

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all pairs of key and value; those that cannot be read are noted, and left out."""
        number = 0
        for page_number in range(1, self._pages):
            try:
                page = self._page(page_number)
                items = self._items(page)
            except (UnreadableError, struct.error) as error:
                self._notes.add(self._path, f"page {page_number}: {error}")
                continue
            for key, value in zip(items[::2], items[1::2], strict=False):
                number += 1
                if number > _MAX_RECORDS or self._read > _MAX_TOTAL:
                    self._notes.add(self._path, "has too many records; the others are left out")
                    return
                try:
                    yield self._content(key, page_number), self._content(value, page_number)
                except (UnreadableError, struct.error) as error:
                    self._notes.add(self._path, f"record on page {page_number}: {error}")

    def _page(self, number: int) -> bytes:
        return read_exactly(self._file, number * self._page_size, self._page_size)

    def _items(self, page: bytes) -> list[bytes]:
        """Return the items of a page that holds pairs; none for other pages."""
        _, _, _, count, _, _, kind = self._header.unpack_from(page)
        if kind not in _HASH and kind != _BTREE_LEAF:
            return []
        if _PAGE_HEADER_SIZE + 2 * count > self._page_size:
            raise UnreadableError(f"has {count} entries")
        offsets = struct.unpack_from(f"{self._order}{count}H", page, _PAGE_HEADER_SIZE)
        if kind == _BTREE_LEAF:
            return [self._leaf_item(page, offset) for offset in offsets]
        # In a hash page, an item ends where the one before it begins.
        ends = (self._page_size, *offsets)
        return [page[offset:end] for offset, end in zip(offsets, ends, strict=False)]

    def _leaf_item(self, page: bytes, offset: int) -> bytes:
        """Return an item of a B-tree in the form of a hash's."""
        size, kind = struct.unpack_from(f"{self._order}HB", page, offset)
        if kind & _DELETED:
            return b"\0"
        if kind == _BTREE_OFF_PAGE:
            return bytes([_HASH_OFF_PAGE]) + page[offset + 1 : offset + 12]
        return bytes([_HASH_DATA]) + page[offset + 3 : offset + 3 + size]

    def _content(self, item: bytes, page_number: int) -> bytes:
        if not item:
            raise UnreadableError("is empty")
        if item[0] == _HASH_DATA:
            return item[1:]
        if item[0] != _HASH_OFF_PAGE:
            raise UnreadableError(f"is of type {item[0]}")
        first, size = self._off_page.unpack_from(item)
        return self._overflow(first, size)

    def _overflow(self, number: int, size: int) -> bytes:
        """Collect what is too large for one page from its chain of pages."""
        if size > MAX_HEADER:
            raise UnreadableError(f"has {size} bytes")
        parts = []
        left = size
        while left > 0:
            page = self._page(number)
            _, _, number, _, used, _, kind = self._header.unpack_from(page)
            part = page[_PAGE_HEADER_SIZE : _PAGE_HEADER_SIZE + min(used, left)]
            if kind != _OVERFLOW or not part:
                raise UnreadableError(f"lacks {left} of {size} bytes")
            parts.append(part)
            left -= len(part)
            self._read += len(part)
        return b"".join(parts)
