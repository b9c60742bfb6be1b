"""What the readers of file systems by libyal have in common."""

import stat
from collections import OrderedDict
from typing import Any

from api.inspector.errors import LimitError, Notes, UnreadableError
from api.inspector.limits import MAX_DIRECTORY, MAX_ENTRIES
from api.inspector.sources import ByteSource, File
from api.inspector.tree import EntryKind, Parts, TreeEntry, shown

_REMEMBERED = 64
_KINDS = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFDIR: EntryKind.DIRECTORY,
    stat.S_IFLNK: EntryKind.LINK,
}
_MAX_TARGET = 4096
_MAX_EXTENTS = 100_000

TROUBLE = (OSError, MemoryError, ValueError, OverflowError, UnicodeError, SystemError)
"""What these libraries raise for a damaged disk."""


class LibyalFileSystem:
    """A file system that a library of libyal reads. See ``tree.FileSystem``."""

    def __init__(
        self, volume: Any, source: ByteSource, *, name: str, has_dirty_journal: bool = False
    ) -> None:
        self.name = name
        self.has_dirty_journal = has_dirty_journal
        # The library asks this object for as long as it lives.
        self._file = File(source)
        self._volume = volume
        self._entries: OrderedDict[Parts, Any] = OrderedDict()
        try:
            volume.open_file_object(self._file)
        except TROUBLE as error:
            raise UnreadableError(_text(error)) from error

    def find(self, parts: Parts) -> TreeEntry | None:
        """Return what a path names."""
        try:
            entry = self._entry(parts)
            if entry is None:
                return None
            kind = _KINDS.get(stat.S_IFMT(entry.file_mode), EntryKind.OTHER)
            return TreeEntry(kind, max(0, entry.size or 0) if kind is EntryKind.FILE else 0)
        except TROUBLE as error:
            raise UnreadableError(_text(error)) from error

    def names(self, parts: Parts, notes: Notes) -> list[str]:
        """Return the names in a directory; those that cannot be read are noted."""
        try:
            directory = self._entry(parts)
            if directory is None:
                return []
            _check_size(directory)
            number = min(directory.number_of_sub_file_entries, MAX_ENTRIES + 1)
        except TROUBLE as error:
            raise UnreadableError(_text(error)) from error
        found = []
        for index in range(number):
            try:
                name = directory.get_sub_file_entry(index).name
            except TROUBLE as error:
                notes.add(shown(parts), f"entry {index}: {_text(error)}")
                continue
            if name and name not in (".", "..") and "/" not in name:
                found.append(name)
        return found

    def target(self, parts: Parts) -> str:
        """Return where a symbolic link leads to."""
        try:
            target = self._entry(parts).symbolic_link_target or ""
        except TROUBLE as error:
            raise UnreadableError(_text(error)) from error
        return str(target)[:_MAX_TARGET]

    def read(self, parts: Parts, offset: int, size: int) -> bytes:
        """Return bytes of a file."""
        try:
            data = self._entry(parts).read_buffer_at_offset(size, offset)
        except TROUBLE as error:
            raise UnreadableError(_text(error)) from error
        return bytes(data)

    def _entry(self, parts: Parts) -> Any:
        entry = self._entries.get(parts)
        if entry is not None:
            self._entries.move_to_end(parts)
            return entry
        if parts:
            # The library reads a whole directory to find a name in it.
            parent = self._entries.get(parts[:-1]) or self._entry(parts[:-1])
            _check_size(parent)
        entry = self._volume.get_file_entry_by_path(shown(parts))
        if entry is not None:
            self._entries[parts] = entry
            if len(self._entries) > _REMEMBERED:
                self._entries.popitem(last=False)
        return entry


def _check_size(directory: Any) -> None:
    """Raise LimitError for a directory that takes too much memory to be listed."""
    try:
        number = directory.number_of_extents
    except TROUBLE:
        # A directory that is small enough to lie in its inode has none.
        return
    if number > _MAX_EXTENTS:
        raise LimitError(f"is a directory of {number} extents")
    size = sum(directory.get_extent(index)[1] for index in range(number))
    if size > MAX_DIRECTORY:
        raise LimitError(f"is a directory of {size} bytes, more than {MAX_DIRECTORY}")


def _text(error: BaseException) -> str:
    """Return what a library says, without the names of its functions and its full stops."""
    parts = [part.strip() for part in str(error).split(". ") if part.strip()]
    told = [part.split(": ", 1)[-1] for part in parts]
    return (told[-1] if len(told) < 2 else f"{told[0]}: {told[1]}") if told else repr(error)
