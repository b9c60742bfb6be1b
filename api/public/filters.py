"""The query parameters by which lists, and single objects too, are filtered (spec 01 §7, §14.7).

Of a repeated parameter the last value counts; an empty one is none.
"""

import datetime
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from rest_framework.exceptions import ValidationError

from api.models import CloudType, MachineImage, Run
from api.public.moments import parse_instant

NO_CHOICE = "Select a valid choice. {} is not one of the available choices."
NO_INSTANT = "Enter a valid date/time."
NO_NUMBER = "Enter a whole number."
NUL = "Null characters are not allowed."

WHOLE_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,1000})?\s*")

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """A parameter, and the column that it asks for."""

    name: str
    column: str

    def read(self, text: str) -> Any:
        """Return the value, None if there is none. Raises ValueError with the client's message."""
        raise NotImplementedError

    def narrow(self, rows: QuerySet, value: Any) -> QuerySet:
        """Leave the rows that have the value."""
        return rows.filter(**{self.column: value})


class Text(Parameter):
    """Exactly this text, without surrounding blanks."""

    def read(self, text: str) -> str | None:
        """Return the text."""
        if "\0" in text:
            raise ValueError(NUL)
        return text.strip() or None


class Number(Parameter):
    """Exactly this whole number."""

    def read(self, text: str) -> int | None:
        """Return the number."""
        if not WHOLE_NUMBER.fullmatch(text):
            raise ValueError(NO_NUMBER)
        return int(text) if text.strip() else None


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


class RunningSince(Parameter):
    """Instances that have run without a break since an instant at the latest (spec 01 §7.1)."""

    def read(self, text: str) -> datetime.datetime | None:
        """Return the instant, in UTC."""
        try:
            return parse_instant(text) if text.strip() else None
        except ValueError as error:
            raise ValueError(NO_INSTANT) from error

    def narrow(self, rows: QuerySet, value: Any) -> QuerySet:
        """Leave the instances with such a run: the only one without an end that each can have."""
        running = Run.objects.filter(
            instance_id=OuterRef("id"), end_time__isnull=True, start_time__lte=value
        )
        return rows.filter(Exists(running))


ACCOUNT_PARAMETERS = (
    Choice("cloud_type", "cloud_type", CloudType.values),
    Boolean("is_enabled", "is_enabled"),
)
INSTANCE_PARAMETERS = (
    RunningSince("running_since", ""),
    Number("cloud_account_id", "cloud_account_id"),
    Number("machine_image_id", "machine_image_id"),
)
IMAGE_PARAMETERS = (
    Text("architecture", "architecture"),
    Choice("status", "status", MachineImage.Status.values),
    Boolean("rhel_detected", "is_rhel"),
)


class Filter:
    """What a request asks for, by some parameters."""

    def __init__(self, parameters: Sequence[Parameter], query: Mapping[str, str]) -> None:
        """Read the parameters. Raises ValidationError that names every one that is wrong."""
        self._wanted: list[tuple[Parameter, Any]] = []
        errors: dict[str, list[str]] = {}
        for parameter in parameters:
            try:
                value = parameter.read(query.get(parameter.name, ""))
            except ValueError as error:
                errors[parameter.name] = [str(error)]
                continue
            if value is not None:
                self._wanted.append((parameter, value))
        if errors:
            raise ValidationError(errors)

    def narrow(self, rows: QuerySet) -> QuerySet:
        """Leave the rows that match all that was asked for."""
        for parameter, value in self._wanted:
            rows = parameter.narrow(rows, value)
        return rows
