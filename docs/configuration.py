"""Writes docs/configuration.rst from the table of all variables.

``python -m docs.configuration [--check]`` needs no service and no network.
"""

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from cloudigrade.settings.variables import VARIABLES
from util.env import SameAs, Variable

FILE = Path(__file__).with_name("configuration.rst")

HEAD = """\
Configuration
=============

.. This file is generated: change cloudigrade/settings/variables.py and run ``make config-docs``.

cloudigrade is configured by environment variables. Those that are absent may stand in a dotenv
file, whose path is ``ENV_FILE_PATH``. Where ``ACG_CONFIG`` names a file of Clowder's, that file
says where database, Redis, Kafka and the sources service are, and the variables that say so are
ignored.

- An empty text counts as unset, except for booleans, where it means false, and lists, where it
  means none.
- Booleans: any integer other than 0, or ``true``, ``on``, ``ok``, ``y``, ``yes`` in any case, is
  true; all else is false.
- Lists are separated by commas. No reference to other variables is ever resolved.
- Where a variable allows it, an unresolved placeholder ``${...}`` of a template counts as unset.
- All mistakes are reported together when a process starts, which then ends; values of secrets are
  never shown.
- ``python manage.py show_config`` tells what a process sees.

Periods, ages and delays are in seconds unless said otherwise. Defaults are those of the settings
module ``cloudigrade.settings.prod``; what differs in others is said. Outside Clowder that module
also requires ``DJANGO_DATABASE_NAME``, ``DJANGO_DATABASE_HOST``, ``DJANGO_DATABASE_USER`` and
``DJANGO_DATABASE_PASSWORD``. What belongs to Sentry or CloudWatch is required where these are
switched on.
"""


def document() -> str:
    """Return the whole document."""
    parts = [HEAD]
    for title, variables in groupby(VARIABLES, key=lambda variable: variable.group):
        parts.append(f"\n{title}\n{'-' * len(title)}\n")
        parts.extend(_entry(variable) for variable in variables)
    return "".join(parts)


def _entry(variable: Variable) -> str:
    text = f"{variable.help[0].upper()}{variable.help[1:]}."
    return (
        f"\n``{variable.name}`` ({variable.kind.name}{', secret' if variable.secret else ''})\n"
        + ("".join(f"    {line}\n" for line in (text, *_remarks(variable))))
    )


def _remarks(variable: Variable) -> Iterator[str]:
    yield f"Default: {_default(variable)}."
    for module, value in variable.defaults.items():
        if module != "prod":
            yield f"With ``cloudigrade.settings.{module}``: {_literal(value)}."
    if variable.choices:
        yield f"One of {', '.join(f'``{choice}``' for choice in variable.choices)}."
    if limits := _limits(variable):
        yield limits
    if variable.fallbacks:
        yield f"Also read from {', '.join(f'``{name}``' for name in variable.fallbacks)}."
    if variable.placeholder_is_unset:
        yield "A literal ``${...}`` counts as unset."


def _default(variable: Variable) -> str:
    if "prod" in variable.required_in:
        return "none, required"
    default = variable.defaults.get("prod", variable.default)
    if isinstance(default, SameAs):
        return f"that of ``{default.name}``"
    return _literal(default)


def _literal(value: object) -> str:
    if value is None or value == "" or value == []:
        return "unset"
    if isinstance(value, bool):
        return f"``{str(value).lower()}``"
    if isinstance(value, list):
        return f"``{','.join(value)}``"
    return f"``{json.dumps(value) if isinstance(value, dict) else value}``"


def _limits(variable: Variable) -> str:
    words = [
        f"{word} {limit:g}"
        for word, limit in (("at least", variable.minimum), ("at most", variable.maximum))
        if limit is not None
    ]
    return f"{', '.join(words).capitalize()}." if words else ""


def main(arguments: list[str]) -> int:
    """Write the file, or with ``--check`` tell whether it is current."""
    text = document()
    if "--check" not in arguments:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        print(f"{FILE.name} is stale: make config-docs", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
