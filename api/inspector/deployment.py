"""The root of an image: the tree's own, or that of an ostree deployment (spec 05 §9)."""

from collections.abc import Iterator

from api.inspector.errors import UnreadableError
from api.inspector.tree import EntryKind, Tree, shown

_BOOT = ("ostree/boot.1", "ostree/boot.0")


def find_root(tree: Tree) -> tuple[str, Tree]:
    """Return the path of the root of the system in a tree, and the tree below it."""
    for path in _deployments(tree):
        try:
            found = tree.resolve(path)
        except UnreadableError as error:
            tree.notes.add(path, error)
            continue
        if found and found[1].kind is EntryKind.DIRECTORY:
            return shown(found[0]), tree.below(found[0])
    return "/", tree


def _deployments(tree: Tree) -> Iterator[str]:
    """Yield the links by which ostree boots: boot.N/SYSTEM/CHECKSUM/NUMBER."""
    for boot in _BOOT:
        for system in tree.list(boot):
            for checksum in tree.list(f"{boot}/{system}"):
                for number in tree.list(f"{boot}/{system}/{checksum}"):
                    yield f"{boot}/{system}/{checksum}/{number}"
