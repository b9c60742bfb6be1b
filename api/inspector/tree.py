"""Paths of an image: symbolic links lead nowhere but into the image (spec 13 §2)."""

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from api.inspector.errors import LimitError, Notes, UnreadableError
from api.inspector.limits import MAX_ENTRIES, MAX_FILE, MAX_LINKS, MAX_STEPS, MIB

Parts = tuple[str, ...]


class EntryKind(enum.Enum):
    """What a path names."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


class TreeEntry(NamedTuple):
    """What a file system knows of a path, links not followed."""

    kind: EntryKind
    size: int


class FileSystem(Protocol):
    """A file system as far as an inspection needs it. All methods may raise UnreadableError."""

    name: str
    has_dirty_journal: bool

    def find(self, parts: Parts) -> TreeEntry | None:
        """Return what a path names, none of whose parents is a link; None if nothing."""

    def names(self, parts: Parts, notes: Notes) -> list[str]:
        """Return the names in a directory, MAX_ENTRIES and one more at most."""

    def target(self, parts: Parts) -> str:
        """Return where a symbolic link leads to."""

    def read(self, parts: Parts, offset: int, size: int) -> bytes:
        """Return bytes of a file, fewer than asked for only at its end."""


class OpenFile:
    """A file of an image as a source."""

    block_size = MIB

    def __init__(self, file_system: FileSystem, parts: Parts, size: int) -> None:
        self._file_system = file_system
        self._parts = parts
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``sources.ByteSource``."""
        wanted = min(size, self.size - offset)
        return self._file_system.read(self._parts, offset, wanted) if wanted > 0 else b""


class Tree:
    """The files below a root. Paths are as inside the image, a slash at the front or not."""

    def __init__(self, file_system: FileSystem, notes: Notes, root: Parts = ()) -> None:
        self.file_system = file_system
        self.notes = notes
        self._root = root

    def below(self, root: Parts) -> "Tree":
        """Return the tree whose root is a directory of this one."""
        return Tree(self.file_system, self.notes, self._root + root)

    def resolve(self, path: str) -> tuple[Parts, TreeEntry] | None:
        """Return the real path of what a path names; None if that does not exist.

        Raises UnreadableError, also for links that never end.
        """
        waiting = _split(path)[::-1]
        done: list[str] = []
        entry = TreeEntry(EntryKind.DIRECTORY, 0)
        links = 0
        for _ in range(MAX_STEPS):
            if not waiting:
                return tuple(done), entry
            part = waiting.pop()
            if part == "..":
                # Above the root there is the root.
                done = done[:-1]
                entry = TreeEntry(EntryKind.DIRECTORY, 0)
                continue
            if entry.kind is not EntryKind.DIRECTORY:
                return None
            found = self.file_system.find((*self._root, *done, part))
            if found is None:
                return None
            if found.kind is EntryKind.LINK:
                links += 1
                if links > MAX_LINKS:
                    raise UnreadableError(f"more than {MAX_LINKS} symbolic links")
                target = self.file_system.target((*self._root, *done, part))
                if target.startswith("/"):
                    done = []
                waiting += _split(target)[::-1]
                continue
            done.append(part)
            entry = found
        raise UnreadableError("its path has too many parts")

    def kind(self, path: str) -> EntryKind | None:
        """Return what a path names; None for nothing, or if that cannot be told."""
        try:
            found = self.resolve(path)
        except UnreadableError as error:
            self.notes.add(path, error)
            return None
        return found[1].kind if found else None

    def open(self, path: str) -> OpenFile | None:
        """Open a regular file; None if there is none. Raises UnreadableError."""
        found = self.resolve(path)
        if found is None or found[1].kind is not EntryKind.FILE:
            return None
        return OpenFile(self.file_system, self._root + found[0], found[1].size)

    def read(self, path: str, limit: int = MAX_FILE) -> bytes | None:
        """Return all of a file; None if there is none, or (with a note) if it cannot be read."""
        try:
            file = self.open(path)
            if file is None:
                return None
            if file.size > limit:
                raise LimitError(f"has {file.size} bytes, more than {limit}")
            data = file.read(0, file.size)
            if len(data) < file.size:
                raise UnreadableError(f"has {len(data)} of {file.size} bytes")
        except (UnreadableError, LimitError) as error:
            self.notes.add(path, error)
            return None
        return data

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none if it cannot be read or does not exist."""
        try:
            found = self.resolve(path)
            if found is None or found[1].kind is not EntryKind.DIRECTORY:
                return []
            names = self.file_system.names(self._root + found[0], self.notes)
        except (UnreadableError, LimitError) as error:
            self.notes.add(path, error)
            return []
        if len(names) > MAX_ENTRIES:
            self.notes.add(path, f"has more than {MAX_ENTRIES} entries; the others are left out")
        return sorted(names[:MAX_ENTRIES])


def shown(parts: Sequence[str]) -> str:
    """Return a path as text."""
    return "/" + "/".join(parts)


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
