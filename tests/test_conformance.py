"""docs/conformance.md names code and tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "conformance.md"
COLUMNS = {"where": ROOT, "tests": ROOT / "tests"}


def rows() -> Iterator[dict[str, str]]:
    """Return the cells of each row by the heads of their columns."""
    heads: list[str] = []
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not heads:
            heads = cells
        elif not set(line) <= set("|-"):
            yield dict(zip(heads, cells, strict=True))


def paths(cell: str) -> Iterator[Path]:
    """What has no folder lies in that of what is named before it, after a semicolon at the root."""
    for part in cell.split(";"):
        folder = Path()
        for path in re.findall(r"`([\w./-]+)`", part):
            if "/" in path:
                folder = Path(path) if path.endswith("/") else Path(path).parent
                yield Path(path)
            elif "." in path or path[0].isupper():
                yield folder / path


@pytest.mark.parametrize("column", COLUMNS)
def test_all_files_named_exist(column):
    named = {path for row in rows() for path in paths(row[column])}
    assert len(named) > 100
    assert sorted(str(path) for path in named if not (COLUMNS[column] / path).exists()) == []
