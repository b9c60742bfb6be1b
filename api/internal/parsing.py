"""Lenient reading of what operators type (spec 02 §7, 07 §4.4)."""

import datetime
from collections.abc import Mapping
from typing import Any

from dateutil import parser
from rest_framework.exceptions import ValidationError

from util import clock

FAILED = "Failed to parse given input."
BIGINT_END = 2**63


def optional_id(members: Mapping[str, Any], name: str) -> int | None:
    """Return an id given as whole number or as text of one; None for what is empty or zero.

    Raises ValidationError naming the member.
    """
    value = members.get(name)
    if not value:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValidationError({name: FAILED})
    try:
        number = int(value)
    except ValueError as error:
        raise ValidationError({name: FAILED}) from error
    if not -BIGINT_END <= number < BIGINT_END:
        raise ValidationError({name: FAILED})
    return number or None


def optional_moment(members: Mapping[str, Any], name: str) -> datetime.datetime | None:
    """Return a date-time in UTC, given in nearly any form; without an offset it is UTC already.

    None for what is empty. Raises ValidationError naming the member.
    """
    moment = _parse(members, name)
    try:
        return moment.astimezone(datetime.UTC) if moment else None
    except (OverflowError, ValueError) as error:
        raise ValidationError({name: FAILED}) from error


def optional_date(members: Mapping[str, Any], name: str) -> datetime.date | None:
    """Return the date of a date or date-time as it is written, whatever its offset.

    None for what is empty. Raises ValidationError naming the member.
    """
    moment = _parse(members, name)
    return moment.date() if moment else None


def _parse(members: Mapping[str, Any], name: str) -> datetime.datetime | None:
    value = members.get(name)
    if not value:
        return None
    if not isinstance(value, str) or value.lstrip().startswith("-"):
        raise ValidationError({name: FAILED})
    # What the text leaves out is taken from today's midnight.
    default = datetime.datetime.combine(clock.today(), datetime.time())
    try:
        return parser.parse(value, default=default, tzinfos=_zone)
    except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
        raise ValidationError({name: FAILED}) from error


def _zone(name: str | None, seconds: int | None) -> datetime.tzinfo:
    """Return the zone of a written offset. Raises ValueError for a zone's name other than UTC."""
    if seconds is not None:
        return datetime.timezone(datetime.timedelta(seconds=seconds))
    if name is None:
        return datetime.UTC
    raise ValueError(f"{name} is not an offset")
