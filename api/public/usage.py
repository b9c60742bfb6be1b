"""Daily concurrent usage: which days a request means, and how they are shown (01 §8, 02 §6)."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError

from api.metering import reports
from api.public.moments import parse_day
from api.public.renderers import Fragment, compact_json
from util import clock

MEMBERS = ("arch", "role", "sla", "usage", "service_type", "instances_count")
"""What a number of instances is told for, in the order in which it is stored and shown."""

ONE_DAY = datetime.timedelta(days=1)


class UsageUnavailable(APIException):
    """A day of the page has not been calculated, or changed since (spec 01 §8.4)."""

    status_code = status.HTTP_425_TOO_EARLY
    default_detail = "Results are currently unavailable, try again later."
    wait = 60
    """Seconds after which to try again."""


@dataclass(frozen=True)
class Bound:
    """One end of the range of days: its parameter, what it is by default and at the latest.

    Both are told in days from today.
    """

    name: str
    default: int
    latest: int
    too_late: str

    def read(
        self, query: Mapping[str, str], *, joined: datetime.date, today: datetime.date
    ) -> datetime.date:
        """Return the day that a request asks for. Raises ValueError with the client's message."""
        text = query.get(self.name)
        try:
            day = parse_day(text) if text else today + self.default * ONE_DAY
        except ValueError as error:
            raise ValueError(f"{self.name} must be a date (YYYY-MM-DD).") from error
        if day < joined:
            raise ValueError(f"{self.name} must be same as or after the user creation date.")
        if day > today + self.latest * ONE_DAY:
            raise ValueError(f"{self.name} {self.too_late}")
        return day


START = Bound("start_date", default=-1, latest=-1, too_late="cannot be today or in the future.")
END = Bound("end_date", default=0, latest=0, too_late="cannot be in the future.")


def read_days(
    query: Mapping[str, str], *, joined: datetime.date, start: Bound = START, end: Bound = END
) -> range:
    """Return the ordinals of the days that a request asks for, without the end.

    ``joined`` is the UTC date on which the customer joined. Raises ValidationError that tells what
    is wrong with either date.
    """
    today = clock.today()
    days: list[int] = []
    errors: dict[str, list[str]] = {}
    for bound in (start, end):
        try:
            days.append(bound.read(query, joined=joined, today=today).toordinal())
        except ValueError as error:
            errors[bound.name] = [str(error)]
    if errors:
        raise ValidationError(errors)
    return range(*days)


def render_days(user_id: int, ordinals: Sequence[int]) -> Fragment:
    """Write consecutive days of a customer as a JSON array.

    Raises UsageUnavailable if one of them is not calculated. Much the same keys come back every
    day, thousands of them on a page: so they are written once and their text is used again.
    """
    if not ordinals:
        return Fragment("[]")
    days = [datetime.date.fromordinal(ordinal) for ordinal in ordinals]
    stored = reports.daily_usage(user_id=user_id, first_day=days[0], last_day=days[-1])
    if len(stored) < len(days):
        raise UsageUnavailable
    beginnings = _Beginnings()
    shown = (_render_day(day, stored[day], beginnings) for day in days)
    return Fragment(f"[{','.join(shown)}]")


class _Beginnings(dict[str, str]):
    """For the values of a key, as JSON text, how its entry begins: all but the number."""

    def __missing__(self, values: str) -> str:
        entry = compact_json(_entry(json.loads(f"[{values}, 0]")))
        beginning = self[values] = entry.removesuffix("0}")
        return beginning


def _render_day(day: datetime.date, counts: str, beginnings: _Beginnings) -> str:
    """Write a day without parsing what is known already.

    A value that holds what separates two counts tears a string apart, which is no JSON then.
    """
    try:
        pieces = [count.rpartition(", ") for count in counts[2:-2].split("], [") if count]
        entries = ",".join([f"{beginnings[values]}{number}}}" for values, _, number in pieces])
    except ValueError:
        entries = ",".join(compact_json(_entry(count)) for count in json.loads(counts))
    return f'{{"date":"{day}","maximum_counts":[{entries}]}}'


def _entry(count: Sequence[Any]) -> dict[str, Any]:
    """Name the members; raises ValueError if there are not as many."""
    return dict(zip(MEMBERS, count, strict=True))
