"""The walks of docs/architecture.md name modules that there are, and as many as they say."""

import re

import pytest

from deployment.local.service import REPOSITORY

TEXT = (REPOSITORY / "docs" / "architecture.md").read_text()
_, _, WALKS = TEXT.partition("## Five walks through the code\n")
MODULES = [f"/{path.relative_to(REPOSITORY)}" for path in (REPOSITORY / "api").rglob("*.py")]


@pytest.mark.parametrize("walk", WALKS.partition("\n## ")[0].split("\n- *")[1:])
def test_walk(walk):
    names = re.findall(r"`([\w/]+\.py)`", walk)
    assert len(names) == len(set(names))
    for name in names:
        assert any(module.endswith(f"/{name}") for module in MODULES), name
    if said := re.search(r"\((\d+) modules\)", walk):
        assert len(names) == int(said[1])


def test_there_are_five():
    assert WALKS.partition("\n## ")[0].count("\n- *") == 5
