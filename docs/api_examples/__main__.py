"""Write docs/rest-api-examples.rst, or check that it is current."""

import argparse
import difflib
import importlib
import os
import sys
from pathlib import Path

import django

from deployment.local.local_services import LocalServices

FILE = Path(__file__).resolve().parent.parent / "rest-api-examples.rst"

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.test",
    "CLOUDIGRADE_ENVIRONMENT": "example",
    "IMAGE_TAG": "9f1c2ab",
    "AZURE_TENANT_ID": "9d1c4b1e-6c1d-4e0f-9a3b-7d8c9e0f1a2b",
    "AZURE_SP_OBJECT_ID": "0b6c9d3e-3b1f-47d2-8a53-6a1d7c0e93b4",
    "INTERNAL_API_REQUIRE_AUTH": "false",
    "ENV_FILE_PATH": "",
    "ACG_CONFIG": "",
}
"""All settings that answers show or depend on, so that they are the same everywhere."""


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
    os.environ.update(services.env | ENVIRONMENT)
    with services:
        django.setup()
        # Only now can modules that need Django be loaded.
        return importlib.import_module("docs.api_examples.document").render()


if __name__ == "__main__":
    sys.exit(main())
