"""What the tests of the inspector have in common."""

from pathlib import Path
from typing import Any

from api.inspector.command import inspect_target
from api.inspector.directory import DirectoryFileSystem
from api.inspector.errors import Notes
from api.inspector.limits import Limits
from api.inspector.results import make_entry
from api.inspector.tree import Tree

LIMITS = Limits(seconds=240)
"""The machine that tests run on has other things to do as well."""

ABOUT_DISKS = ("drives", "journal_dirty", "errors")
"""What an image's result says of the disk, not of the system on it."""


def look(path: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """Return what the inspector says of a disk file or a directory."""
    partitions, errors = inspect_target(str(path), limits)
    return make_entry({str(path): partitions}, errors)


def of_system(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a result says of the system, wherever it lies."""
    return {key: value for key, value in entry.items() if key not in ABOUT_DISKS}


def root_facts(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of the partition with the system on it."""
    (facts,) = [
        partition["facts"]
        for drive in entry["drives"].values()
        for partition in drive.values()
        if partition.get("has_etc")
    ]
    return facts


def tree_of(root: Path) -> Tree:
    """Return a directory as an image's tree."""
    return Tree(DirectoryFileSystem(root), Notes())
