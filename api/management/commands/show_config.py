"""Shows what every environment variable amounts to in this process, without secrets."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from api.management.base import OperatorCommand
from cloudigrade.settings.environment import DOTENV_LOADED, clowder, env
from util.env import Variable


class Command(OperatorCommand):
    """For operators: which value, and from where."""

    help = "Show all variables of the configuration with their values; secrets as set or unset."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Let the list be shorter."""
        parser.add_argument("--set", action="store_true", help="only those that are not defaults")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write one group of variables after the other."""
        self.say(
            f"Settings module: {settings.SETTINGS_MODULE};"
            f" dotenv file {'loaded' if DOTENV_LOADED else 'not found'};"
            f" Clowder {'off' if clowder is None else 'on, which wins over what is said here'}"
        )
        group = ""
        for variable in env.variables.values():
            is_set = env.is_set(variable.name)
            if options["set"] and not is_set:
                continue
            if variable.group != group:
                group = variable.group
                self.say(f"\n{group}")
            shown = {
                "name": variable.name,
                "value": _shown(variable, is_set),
                "origin": "environment" if is_set else "default",
                "group": group,
            }
            self.tell(shown, "  {name} = {value}  [{origin}]".format(**shown))


def _shown(variable: Variable, is_set: bool) -> str:
    if variable.secret:
        return "(set)" if is_set else "(unset)"
    value = env(variable.name, settings.SETTINGS_MODULE.rpartition(".")[2])
    return "(unset)" if value is None else str(value)
