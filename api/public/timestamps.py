"""Dates and date-times, as clients write them and as we do (spec 01 §1.1, §7.1, §8.3)."""

import datetime
import re

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR = "(?:[01][0-9]|2[0-3])"
_SIXTY = "[0-5][0-9]"

INSTANT = re.compile(
    rf"{_DATE}(?:[T ]{_HOUR}:{_SIXTY}(?::{_SIXTY}(?:\.[0-9]{{1,6}})?)?(?:Z|[+-]{_HOUR}:{_SIXTY})?)?"
)
"""What ``parse_instant`` takes."""

DAY = re.compile(
    rf"(?P<date>{_DATE}|[0-9]{{8}})"
    rf"(?:[T ](?:{_HOUR}(?::{_SIXTY}(?::{_SIXTY}(?:[.,][0-9]+)?)?)?"
    rf"|{_HOUR}{_SIXTY}(?:{_SIXTY}(?:[.,][0-9]+)?)?)"
    rf"(?:Z|[+-]{_HOUR}(?::?{_SIXTY})?)?)?"
)
"""What ``parse_day`` takes: a date alone, or with any time of day and offset."""

_UTC_SUFFIX = "+00:00"


def parse_instant(text: str) -> datetime.datetime:
    """Read ISO 8601 as an instant: no time is midnight, no offset is UTC (spec 01 §7.1).

    Surrounding blanks are ignored. Raises ValueError for anything else.
    """
    text = text.strip()
    if not INSTANT.fullmatch(text):
        raise ValueError("no ISO 8601 date-time")
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError as error:
        raise ValueError("beyond the years 1 to 9999") from error


def parse_day(text: str) -> datetime.date:
    """Read the date of an ISO 8601 date or date-time as it is written, without conversion.

    Raises ValueError for anything else (spec 01 §8.3).
    """
    match = DAY.fullmatch(text)
    if not match:
        raise ValueError("no ISO 8601 date")
    return datetime.date.fromisoformat(match["date"])


def render_instant(moment: datetime.datetime) -> str:
    """Write a UTC instant with suffix ``Z``, and with microseconds if there are any."""
    return moment.isoformat().removesuffix(_UTC_SUFFIX) + "Z"
