"""What one file system says: a partition's part of a result (spec 05 §8)."""

from typing import Any

from api.inspector.deployment import find_root
from api.inspector.errors import Notes, brief, describe
from api.inspector.facts import empty_facts, inspect_root
from api.inspector.tree import EntryKind, FileSystem, Tree

PartitionResult = dict[str, Any]


def inspect_file_system(file_system: FileSystem) -> PartitionResult:
    """Return the result of a file system that could be opened."""
    notes = Notes()
    root, tree = find_root(Tree(file_system, notes))
    result: PartitionResult = {
        "filesystem": file_system.name,
        "journal_dirty": file_system.has_dirty_journal,
        "has_etc": tree.kind("/etc") is EntryKind.DIRECTORY,
        "facts": inspect_root(tree),
    }
    if root != "/":
        result["deployment"] = root
    errors = notes.texts()
    if errors:
        result["errors"] = errors
        if not result["has_etc"]:
            result["error"] = errors[0]
    return result


def unread(name: str | None, error: object = None) -> PartitionResult:
    """Return the result of what holds no file system that we read; ``error`` if it should."""
    result: PartitionResult = {"filesystem": name, "facts": empty_facts()}
    if error is not None:
        result["error"] = brief(describe(error))
    return result
