"""The facts of all images as a table of docs/inspector.md: ``python -m ...corpus.table``."""

import tempfile
from pathlib import Path

from tests.api.inspector import corpus
from tests.api.inspector.looking import look

_COLUMNS = {
    "RHEL": "rhel_found",
    "version": "rhel_version",
    "os": "os_id",
    "like RHEL": "rhel_like",
    "packages": "package_count",
    "arch": "architecture_found",
    "journal dirty": "journal_dirty",
    "encrypted": "encrypted",
    "inconclusive": "inconclusive",
}


def lines() -> list[str]:
    """Return the lines of the table."""
    made = [_line(["image", *_COLUMNS]), _line(["---"] * (len(_COLUMNS) + 1))]
    for name in corpus.names():
        with tempfile.TemporaryDirectory() as folder:
            entry = look(corpus.unpack(name, Path(folder)))
        made.append(_line([f"`{name}`", *(_cell(entry[key]) for key in _COLUMNS.values())]))
    return made


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    words = {True: "yes", False: "", None: ""}
    return words[value] if value is None or isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print("\n".join(lines()))
