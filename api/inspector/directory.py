"""A directory of this machine in the place of an image's file system: containers, tests."""

import os
import stat
from pathlib import Path

from api.inspector.errors import Notes, UnreadableError
from api.inspector.limits import MAX_ENTRIES
from api.inspector.tree import EntryKind, Parts, TreeEntry

_KINDS = {
    stat.S_IFREG: EntryKind.FILE,
    stat.S_IFDIR: EntryKind.DIRECTORY,
    stat.S_IFLNK: EntryKind.LINK,
}


class DirectoryFileSystem:
    """Files below a directory. See ``tree.FileSystem``; no link is ever followed here."""

    name = "directory"
    has_dirty_journal = False

    def __init__(self, root: str | Path) -> None:
        self._root = os.fspath(root)

    def _path(self, parts: Parts) -> str:
        return "/".join((self._root, *parts))

    def find(self, parts: Parts) -> TreeEntry | None:
        """Return what a path names."""
        try:
            status = os.lstat(self._path(parts))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise UnreadableError(_text(error)) from error
        return TreeEntry(_KINDS.get(stat.S_IFMT(status.st_mode), EntryKind.OTHER), status.st_size)

    def names(self, parts: Parts, notes: Notes) -> list[str]:
        """Return the names in a directory."""
        found = []
        try:
            with os.scandir(self._path(parts)) as entries:
                for entry in entries:
                    found.append(entry.name)
                    if len(found) > MAX_ENTRIES:
                        break
        except OSError as error:
            raise UnreadableError(_text(error)) from error
        return found

    def target(self, parts: Parts) -> str:
        """Return where a symbolic link leads to."""
        try:
            return os.fspath(Path(self._path(parts)).readlink())
        except OSError as error:
            raise UnreadableError(_text(error)) from error

    def read(self, parts: Parts, offset: int, size: int) -> bytes:
        """Return bytes of a file."""
        try:
            file = os.open(self._path(parts), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return os.pread(file, size, offset)
            finally:
                os.close(file)
        except OSError as error:
            raise UnreadableError(_text(error)) from error


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
