"""Name the code that nothing uses, and fail if there is any; a part of ``make lint``.

Vulture sees the uses that Python code makes of a name. Here it also learns of those in text, such
as columns in SQL, classes in settings, and what templates show. ``[tool.vulture]`` of
pyproject.toml lists the names that are used from outside, by whom.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vulture import Vulture
from vulture.config import make_config
from vulture.core import Item

PRODUCT = ["api", "cloudigrade", "util"]
REST = ["deployment", "docs", "manage.py"]
TESTS = ["tests"]

READ_FROM_OUTSIDE = (
    "cloudigrade/settings/",
    "cloudigrade/gunicorn.py",
    "/migrations/",
    "tests/benchmarks/bench_",
)
"""Modules whose names are looked for: by Django, by gunicorn, and by the benchmarks' runner."""

ARGUMENT = 100
"""How sure vulture is of a function's argument; those of tests are pytest's fixtures."""

WORD = re.compile(r"_?[A-Za-z](?:_?[A-Za-z0-9])*")
"""A name; what two underscores join in Django's look-ups are two."""


class _Finder(Vulture):
    """Vulture that counts the words of texts as uses, unless they are docstrings."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.used_names.update(WORD.findall(node.value))

    def visit_keyword(self, node: ast.keyword) -> None:
        self.used_names.update(WORD.findall(node.arg or ""))


def unused(paths: Sequence[str], reported: Sequence[str]) -> Iterator[str]:
    """Yield a line for each name below ``reported`` that nothing in ``paths`` uses."""
    config = make_config([*paths])
    finder = _Finder(
        ignore_names=config["ignore_names"], ignore_decorators=config["ignore_decorators"]
    )
    finder.scavenge(paths)
    for template in Path("api").rglob("templates/**/*.*"):
        finder.used_names.update(WORD.findall(template.read_text()))
    for item in finder.get_unused_code(min_confidence=config["min_confidence"]):
        path = item.filename.relative_to(Path.cwd()).as_posix()
        if _is_reported(path, item, reported):
            yield f"{path}:{item.first_lineno}: {item.message}"


def _is_reported(path: str, item: Item, reported: Sequence[str]) -> bool:
    top = path.split("/", 1)[0]
    is_fixture = top == "tests" and item.confidence == ARGUMENT and item.typ == "variable"
    return (
        top in reported and not is_fixture and not any(part in path for part in READ_FROM_OUTSIDE)
    )


def main() -> int:
    """Print what of the product only tests use, and what of the rest nothing does."""
    found = [
        *unused([*PRODUCT, *REST], PRODUCT),
        *unused([*PRODUCT, *REST, *TESTS], [*REST, *TESTS]),
    ]
    print("\n".join(found) or "Everything is used.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
