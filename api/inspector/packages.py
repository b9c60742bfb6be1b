"""The packages that rpm knows of, and who signed them (spec 13 §2)."""

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.inspector import berkeley, ndb, sqlite
from api.inspector.copies import copy_out
from api.inspector.errors import LimitError, Notes, UnreadableError
from api.inspector.rpmheader import read_header
from api.inspector.sources import FileSource
from api.inspector.tree import EntryKind, Tree

FOLDERS = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
RED_HAT_KEYS = frozenset(
    {
        "199e2f91fd431d51",
        "5326810137017186",
        "45689c882fa658e0",
        "219180cddb42a60e",
        "7514f77d8366b0d9",
    }
)
_NO_PACKAGE = "gpg-pubkey"
_RHUI = ("rh-amazon-rhui-client", "rhui-")


@dataclasses.dataclass
class Packages:
    """What the databases of one root say."""

    count: int = 0
    keys: Counter[str] = dataclasses.field(default_factory=Counter)
    paths: list[str] = dataclasses.field(default_factory=list)
    has_rhui_client: bool = False
    has_files: bool = False
    errors: list[str] = dataclasses.field(default_factory=list)

    @property
    def signed(self) -> int:
        """Return how many packages Red Hat signed."""
        return sum(number for key, number in self.keys.items() if key in RED_HAT_KEYS)


def read_packages(tree: Tree) -> Packages:
    """Read the databases of all folders. What cannot be read is noted."""
    found = Packages()
    notes = Notes()
    seen = set()
    for folder in FOLDERS:
        try:
            real = tree.resolve(folder)
        except UnreadableError as error:
            notes.add(folder, error)
            continue
        if real is None or real[1].kind is not EntryKind.DIRECTORY or real[0] in seen:
            continue
        seen.add(real[0])
        names = tree.list(folder)
        found.has_files = found.has_files or bool(names)
        _read_folder(tree, folder, found, notes)
    found.errors = notes.texts()
    tree.notes.errors += found.errors
    return found


def _read_folder(tree: Tree, folder: str, found: Packages, notes: Notes) -> None:
    """Read the first database of a folder that holds packages."""
    for name, read in _DATABASES.items():
        path = f"{folder}/{name}"
        before = found.count
        try:
            for number, header in enumerate(read(tree, path, notes), 1):
                _count(found, header, f"{path}: package {number}", notes)
        except (UnreadableError, LimitError) as error:
            notes.add(path, error)
        if found.count > before:
            found.paths.append(path)
            return


def _count(found: Packages, header: bytes, path: str, notes: Notes) -> None:
    try:
        package = read_header(header)
    except UnreadableError as error:
        notes.add(path, f"its header {error}")
        return
    if package.name == _NO_PACKAGE:
        return
    found.count += 1
    found.has_rhui_client = found.has_rhui_client or package.name.startswith(_RHUI)
    if package.key_id:
        found.keys[package.key_id] += 1


def _sqlite(tree: Tree, path: str, notes: Notes) -> Iterator[bytes]:
    if tree.open(path) is not None:
        yield from sqlite.headers(tree, path, notes)


def _ndb(tree: Tree, path: str, notes: Notes) -> Iterator[bytes]:
    with _copy_of(tree, path) as file:
        if file is not None:
            yield from ndb.headers(file, notes, path)


def _berkeley(tree: Tree, path: str, notes: Notes) -> Iterator[bytes]:
    with _copy_of(tree, path) as file:
        if file is None:
            return
        for key, header in berkeley.Database(file, notes, path).records():
            # The number 0 is no package: rpm counts there.
            if key.strip(b"\0"):
                yield header


@contextmanager
def _copy_of(tree: Tree, path: str) -> Iterator[FileSource | None]:
    """Open a copy of a database, if there is one: after years of updates, its parts lie anywhere.

    Raises UnreadableError, LimitError.
    """
    file = tree.open(path)
    if file is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="rpmdb-") as folder:
        copy = Path(folder, "copy")
        copy_out(file, copy)
        with FileSource(copy) as source:
            yield source


_DATABASES = {"rpmdb.sqlite": _sqlite, "Packages.db": _ndb, "Packages": _berkeley}
