"""The query parameters by which lists, and single objects too, are filtered (spec 01 §7, §14.7).

Of a repeated parameter the last value counts; an empty one is none.
"""

import datetime
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import ValidationError

from api.images.facts import RHEL_FOR_EVERYBODY
from api.models import CloudType, MachineImage
from api.public.timestamps import parse_instant

NO_CHOICE = "Select a valid choice. {} is not one of the available choices."
NO_INSTANT = "Enter a valid date/time."
NO_NUMBER = "Enter a whole number."
NUL = "Null characters are not allowed."

WHOLE_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,1000})?\s*")
LARGEST_ID = 2**63 - 1
NO_ID = 0
"""No row has this id."""

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Parameter(ABC):
    """A parameter, and the SQL condition that holds for the rows with its value."""

    name: str
    condition: str

    @abstractmethod
    def read(self, text: str) -> Any:
        """Return the value, None if there is none. Raises ValueError with the client's message."""


class Text(Parameter):
    """Exactly this text, without surrounding blanks."""

    def read(self, text: str) -> str | None:
        """Return the text."""
        if "\0" in text:
            raise ValueError(NUL)
        return text.strip() or None


class Id(Parameter):
    """The row with this number, or those that belong to it."""

    def read(self, text: str) -> int | None:
        """Return the number, or that of no row for one that is too large for any."""
        if not WHOLE_NUMBER.fullmatch(text):
            raise ValueError(NO_NUMBER)
        if not text.strip():
            return None
        number = int(text)
        return number if 0 < number <= LARGEST_ID else NO_ID


class Boolean(Parameter):
    """True or false, in any case; ``1`` and ``0`` do as well."""

    def read(self, text: str) -> bool | None:
        """Return what the word means."""
        if text and text.lower() not in _BOOLEANS:
            raise ValueError(NO_CHOICE.format(text))
        return _BOOLEANS.get(text.lower())


@dataclass(frozen=True)
class Choice(Parameter):
    """One of a few words."""

    words: Collection[str]

    def read(self, text: str) -> str | None:
        """Return the word."""
        if text and text not in self.words:
            raise ValueError(NO_CHOICE.format(text))
        return text or None


class Instant(Parameter):
    """An ISO 8601 date-time."""

    def read(self, text: str) -> datetime.datetime | None:
        """Return the instant, in UTC."""
        try:
            return parse_instant(text) if text.strip() else None
        except ValueError as error:
            raise ValueError(NO_INSTANT) from error


# An instance has one run without an end at most, so this is about its latest (spec 01 §7.1).
_RUNNING_SINCE = """EXISTS (
    SELECT FROM api_run
    WHERE instance_id = instance.id AND end_time IS NULL AND start_time <= %s
)"""

IS_RHEL = f"({RHEL_FOR_EVERYBODY} OR COALESCE(own_tags.rhel, false))"
"""Whether ``image`` is RHEL to the customer whose tags are ``own_tags``."""

ACCOUNT_PARAMETERS = (
    Choice("cloud_type", "cloud_type = %s", CloudType.values),
    Boolean("is_enabled", "is_enabled = %s"),
)
INSTANCE_PARAMETERS = (
    Instant("running_since", _RUNNING_SINCE),
    Id("cloud_account_id", "cloud_account_id = %s"),
    Id("machine_image_id", "machine_image_id = %s"),
)
IMAGE_PARAMETERS = (
    Text("architecture", "architecture = %s"),
    Choice("status", "status = %s", MachineImage.Status.values),
    Boolean("rhel_detected", f"{IS_RHEL} = %s"),
)


@dataclass(frozen=True)
class Filter:
    """What a request asks for: SQL to append to a WHERE clause, and the values in it."""

    sql: str = ""
    values: tuple[Any, ...] = ()

    def __add__(self, other: "Filter") -> "Filter":
        """Return what both let pass."""
        return Filter(self.sql + other.sql, self.values + other.values)


def read_filter(parameters: Sequence[Parameter], query: Mapping[str, str]) -> Filter:
    """Read a request's parameters. Raises ValidationError that names every one that is wrong."""
    sql, values = "", []
    errors: dict[str, list[str]] = {}
    for parameter in parameters:
        try:
            value = parameter.read(query.get(parameter.name, ""))
        except ValueError as error:
            errors[parameter.name] = [str(error)]
            continue
        if value is not None:
            sql += f" AND {parameter.condition}"
            values.append(value)
    if errors:
        raise ValidationError(errors)
    return Filter(sql, tuple(values))
