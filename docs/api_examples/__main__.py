"""Write docs/rest-api-examples.rst, or check that it is current."""

import argparse
import difflib
import importlib
import os
import sys
from pathlib import Path

import django

from deployment.local.world import LocalServices

FILE = Path(__file__).resolve().parent.parent / "rest-api-examples.rst"


def main() -> int:
    """Make the document; return 1 if it was to be checked and is another one."""
    parser = argparse.ArgumentParser(prog="python -m docs.api_examples", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    text = render()
    if not check:
        FILE.write_text(text, encoding="utf-8")
        return 0
    kept = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    difference = list(
        difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "made", lineterm="")
    )
    sys.stdout.write("\n".join(difference) or f"{FILE.name} is current.")
    sys.stdout.write("\n")
    return 1 if difference else 0


def render() -> str:
    """Make the document on a database of its own."""
    services = LocalServices(["postgres"])
    os.environ.update(services.env)
    os.environ["CLOUDIGRADE_ENVIRONMENT"] = "example"
    os.environ["DJANGO_SETTINGS_MODULE"] = "cloudigrade.settings.test"
    with services:
        django.setup()
        # Only now can modules that need Django be loaded.
        return importlib.import_module("docs.api_examples.document").render()


if __name__ == "__main__":
    sys.exit(main())
