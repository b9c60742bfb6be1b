"""docs/conformance.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "conformance.md"


def named_tests() -> set[Path]:
    """A test without a folder lies in the folder of the one named before it in its cell."""
    named = set()
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith("|"):
            continue
        folder = Path()
        for path in re.findall(r"`([\w/]*test_\w+\.py)`", line.split("|")[-2]):
            folder = Path(path).parent if "/" in path else folder
            named.add(folder / Path(path).name)
    return named


def test_all_tests_named_exist():
    named = named_tests()
    assert len(named) > 50
    assert sorted(str(path) for path in named if not (TESTS / path).is_file()) == []
