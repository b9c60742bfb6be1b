"""Load the sizes of the clouds' instance types."""

from argparse import ArgumentParser
from typing import Any

from api.clouds.definitions import are_loaded, start_loading
from api.management.base import OperatorCommand


class Command(OperatorCommand):
    """Queue the loading of instance definitions (spec 04 §9.4)."""

    help = "Queue the loading of the sizes of instance types, unless there are some of both clouds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take one option."""
        parser.add_argument("--force", action="store_true", help="load them in any case")

    def handle(self, *args: Any, force: bool, **options: Any) -> None:
        """Queue it, or say that there is nothing to do."""
        if are_loaded() and not force:
            nothing = "Nothing to do. Instance definitions already exist."
            self.tell({"launched": []}, nothing)
            return
        launched = []
        for cloud in start_loading():
            launched.append(cloud)
            self.say(f"Async task launched to load {cloud} instance definitions.")
        if self.wants_json:
            self.tell({"launched": launched}, "")
