"""No class name stands for two things."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "cloudigrade", "util")

SHOWN = frozenset(
    {
        "BillingFinding",
        "CloudAccount",
        "Correction",
        "Explanation",
        "Instance",
        "MachineImage",
        "Quality",
    }
)
"""What the APIs show of a stored thing has that thing's name, which their documents tell."""

PER_MODULE = frozenset({"Command", "Migration"})
"""Django looks for these by name in each module."""


def test_no_class_name_stands_for_two_things():
    found = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    assert set(twice) - PER_MODULE - SHOWN == set(), twice
    assert set(twice) >= SHOWN
