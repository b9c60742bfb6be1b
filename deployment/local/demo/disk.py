"""The disk of an image whose name and tags tell nothing: a real XFS in a disk with a GPT."""

from tests.api.inspector import corpus

VERSION = "8.4"
NAME = "rhel8-gpt-xfs"


def disk() -> bytes:
    """Return what the image has on its root disk."""
    return corpus.content(NAME)
