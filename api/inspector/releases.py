"""Release files, and what ``os-release`` says of the system (spec 05 §9, 13 §2)."""

import re
from typing import Any, NamedTuple

from api.inspector.tree import EntryKind, Tree

RED_HAT = "Red Hat"
MAX_SHOWN = 4096
MAX_FILES = 50
"""Characters of a release file, and release files, that a result repeats."""

_REBUILDS = frozenset({"centos", "rocky", "almalinux", "ol", "scientific", "eurolinux"})
_OLD_AMAZON = re.compile(r"1$|2$|201\d")
"""Versions of Amazon Linux 1, which were years and months, and of Amazon Linux 2."""

_MAX_WORD = 200


class System(NamedTuple):
    """What ``os-release`` says; None where it says nothing."""

    id: str | None
    like: tuple[str, ...]
    version: str | None

    @property
    def is_like_rhel(self) -> bool:
        """Return whether it is another system of RHEL's family (spec 13 §6)."""
        if self.id is None or self.id == "rhel":
            return False
        if self.id == "amzn" and _OLD_AMAZON.match(self.version or ""):
            return False
        return self.id in _REBUILDS or "rhel" in self.like


def release_files(tree: Tree) -> dict[str, Any]:
    """Return the fact of the release files."""
    files: list[dict[str, Any]] = []
    unreadable = []
    for name in tree.list("/etc"):
        path = f"/etc/{name}"
        if not name.endswith("-release") or tree.kind(path) is not EntryKind.FILE:
            continue
        data = tree.read(path)
        if data is None:
            unreadable.append(f"{path} cannot be read")
            continue
        try:
            text = data.decode()
        except UnicodeDecodeError:
            unreadable.append(f"{path} is not UTF-8")
            continue
        files.append(
            {
                "rhel_release_file": path,
                "rhel_release_file_contents": text[:MAX_SHOWN],
                "rhel_found": RED_HAT in text,
            }
        )
    fact: dict[str, Any] = {
        "rhel_found": any(one["rhel_found"] for one in files),
        # Those that count come first, if there are too many.
        "release_files": sorted(files, key=lambda one: not one["rhel_found"])[:MAX_FILES],
    }
    if unreadable:
        fact["status"] = "; ".join(unreadable[:MAX_FILES])
    return fact


def read_system(tree: Tree) -> System:
    """Return what ``os-release`` says."""
    data = tree.read("/etc/os-release") or tree.read("/usr/lib/os-release") or b""
    values: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, mark, value = line.strip().partition("=")
        if mark:
            values[key.strip()] = _unquoted(value.strip())[:_MAX_WORD]
    return System(
        id=values.get("ID", "").lower() or None,
        like=tuple(values.get("ID_LIKE", "").lower().split()),
        version=values.get("VERSION_ID") or None,
    )


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.strip("\"'")
