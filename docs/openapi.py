"""Runs the command ``openapi`` with the settings that show every route.

``python -m docs.openapi [--check]`` needs no service and no network.
"""

import os
import sys

import django
from django.core.management import call_command


def main() -> None:
    """Write the documents, or compare them."""
    os.environ.setdefault("CLOUDIGRADE_ENVIRONMENT", "test")
    os.environ["DJANGO_SETTINGS_MODULE"] = "cloudigrade.settings.test"
    django.setup()
    call_command("openapi", *sys.argv[1:])


if __name__ == "__main__":
    main()
