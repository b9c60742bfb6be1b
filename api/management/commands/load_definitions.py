"""Load the sizes of the clouds' instance types."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from api.clouds.definitions import are_loaded, start_loading


class Command(BaseCommand):
    """Queue the loading of instance definitions (spec 04 §9.4)."""

    help = "Queue the loading of the sizes of instance types, unless there are some of both clouds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take one option."""
        parser.add_argument("--force", action="store_true", help="load them in any case")

    def handle(self, *args: Any, **options: Any) -> None:
        """Queue it, or say that there is nothing to do."""
        if are_loaded() and not options["force"]:
            self.stdout.write("Nothing to do. Instance definitions already exist.")
            return
        for cloud in start_loading():
            self.stdout.write(f"Async task launched to load {cloud} instance definitions.")
