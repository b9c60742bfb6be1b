"""Typed reading of environment variables (spec 08 §2).

A variable is declared once, as a :class:`Variable`, and read through an :class:`Environment`.
Reading never raises: what is missing or malformed is remembered, and :meth:`Environment.check`
reports all of it together.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

PLACEHOLDER = re.compile(r"\$\{\w+\}")
TRUE_WORDS = frozenset({"true", "on", "ok", "y", "yes", "1"})
DOTENV_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)")
DOTENV_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_bool(text: str) -> bool:
    """Return whether a text means true: an integer other than 0, or a word of assent.

    All else is false.
    """
    try:
        return int(text) != 0
    except ValueError:
        return text.strip().lower() in TRUE_WORDS


def parse_list(text: str) -> list[str]:
    """Split a comma-separated text, dropping blanks around the items; empty text has no items."""
    return [item.strip() for item in text.split(",")] if text.strip() else []


def parse_json_object(text: str) -> dict[str, Any]:
    """Decode a JSON object; raise ValueError for anything else."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def parse_level(text: str) -> str:
    """Return a logging level's name, in any case; raise ValueError if logging does not know it."""
    level = text.strip().upper()
    if level not in logging.getLevelNamesMapping():
        raise ValueError("is not a logging level")
    return level


@dataclass(frozen=True)
class ValueKind:
    """How a text becomes a value, and whether an empty text counts as no text at all."""

    name: str
    parse: Callable[[str], Any]
    complaint: str = ""
    empty_is_unset: bool = True


TEXT = ValueKind("text", str)
BOOL = ValueKind("bool", parse_bool, empty_is_unset=False)
INT = ValueKind("int", int, "is not an integer")
FLOAT = ValueKind("float", float, "is not a number")
LIST = ValueKind("list", parse_list, empty_is_unset=False)
JSON = ValueKind("JSON", parse_json_object, "is not a JSON object")
LEVEL = ValueKind("level", parse_level, "is not a logging level")


@dataclass(frozen=True)
class SameAs:
    """A default that is another variable's value."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable: everything that a program or a reader wants to know of it.

    ``defaults`` holds the defaults that differ by settings module; a module in ``required_in`` has
    none. ``fallbacks`` are older names, read in order where the variable itself is unset. With
    ``placeholder_is_unset`` a literal ``${...}``, as templates leave behind, counts as unset.
    """

    name: str
    kind: ValueKind
    group: str
    help: str
    default: Any = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    required_in: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    secret: bool = False
    placeholder_is_unset: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


class Environment:
    """The declared variables and the texts they have in one process."""

    def __init__(self, variables: Iterable[Variable], texts: Mapping[str, str]) -> None:
        self.variables = {variable.name: variable for variable in variables}
        self._texts = texts
        self._problems: dict[str, None] = {}

    def __call__(self, name: str, module: str = "base") -> Any:
        """Return a variable's value, or its default in the given settings module.

        A malformed text is noted as a problem and answered with the default, so that reading goes
        on.
        """
        variable = self.variables[name]
        text = self._text(variable)
        if text is None:
            if module in variable.required_in:
                self.require(name)
            return self._default(variable, module)
        try:
            value = variable.kind.parse(text)
        except (ValueError, RecursionError):
            self._complain(variable, text, variable.kind.complaint)
            return self._default(variable, module)
        self._check_range(variable, text, value)
        return value

    def secrets(self) -> list[str]:
        """Return the texts of all secrets that are set; of a JSON object, its values."""
        texts: list[str] = []
        for variable in self.variables.values():
            if variable.secret and self.is_set(variable.name):
                value = self(variable.name)
                texts += map(str, value.values() if isinstance(value, dict) else [value])
        return texts

    def is_set(self, name: str) -> bool:
        """Return whether a variable has a text that counts."""
        return self._text(self.variables[name]) is not None

    def require(self, *names: str) -> None:
        """Note a problem for each of the variables that is not set."""
        for name in names:
            if not self.is_set(name):
                self.problem(f"{name} is required but not set")

    def problem(self, message: str) -> None:
        """Note something that must be mended before the program can start."""
        self._problems[message] = None

    def attempt(self, function: Callable[[], Any], fallback: Any = None) -> Any:
        """Call a function; if it raises ValueError, note a problem and return the fallback."""
        try:
            return function()
        except ValueError as error:
            self.problem(str(error))
            return fallback

    def check(self) -> None:
        """Raise ImproperlyConfigured naming every problem noted so far, if there is any."""
        if self._problems:
            lines = "".join(f"\n  - {problem}" for problem in self._problems)
            raise ImproperlyConfigured(f"The environment is not complete or not valid:{lines}")

    def _text(self, variable: Variable) -> str | None:
        for name in (variable.name, *variable.fallbacks):
            text = self._texts.get(name)
            if text is None or (not text.strip() and variable.kind.empty_is_unset):
                continue
            if variable.placeholder_is_unset and PLACEHOLDER.fullmatch(text.strip()):
                continue
            return text
        return None

    def _default(self, variable: Variable, module: str) -> Any:
        default = variable.defaults.get(module, variable.default)
        return self(default.name, module) if isinstance(default, SameAs) else default

    def _complain(self, variable: Variable, text: str, complaint: str) -> None:
        shown = "the value" if variable.secret else repr(text)
        self.problem(f"{variable.name}: {shown} {complaint}")

    def _check_range(self, variable: Variable, text: str, value: Any) -> None:
        if variable.minimum is not None and value < variable.minimum:
            self._complain(variable, text, f"is below {variable.minimum}")
        if variable.maximum is not None and value > variable.maximum:
            self._complain(variable, text, f"is above {variable.maximum}")
        if variable.choices and value not in variable.choices:
            self._complain(variable, text, f"is none of {', '.join(variable.choices)}")


def parse_dotenv(text: str) -> dict[str, str]:
    """Read ``NAME=value`` lines; quotes around a value are removed, no reference is ever resolved.

    Between double quotes a backslash escapes. Blank lines, comments and lines of any other form are
    skipped.
    """
    values = {}
    for line in text.splitlines():
        match = DOTENV_LINE.fullmatch(line.strip())
        if match is None:
            continue
        value = match["value"]
        if len(value) >= 2 and value[0] == value[-1] == "'":
            value = value[1:-1]
        elif len(value) >= 2 and value[0] == value[-1] == '"':
            value = re.sub(
                r"\\(.)", lambda found: DOTENV_ESCAPES.get(found[1], found[1]), value[1:-1]
            )
        values[match["name"]] = value
    return values


def load_dotenv(path: str) -> bool:
    """Add a dotenv file's values to the process environment, whose own values win (spec 08 CFG-3).

    Returns whether there was a file: a missing one, or a directory, is skipped silently.
    """
    if not Path(path).is_file():
        return False
    for name, value in parse_dotenv(Path(path).read_text(encoding="utf-8")).items():
        os.environ.setdefault(name, value)
    return True
