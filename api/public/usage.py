"""Daily concurrent usage: which days a request means, and how they are shown (01 §8, 02 §6)."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET, Raw
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError

from api.coverage.quality import Quality, of_days
from api.metering import reports
from api.metering.count_text import named_counts
from api.metering.reports import StoredDay
from api.public.renderers import Fragment, Fragments, rendered
from api.public.resources import DailyConcurrentUsage
from api.public.timestamps import parse_day
from util import clock
from util.batches import batched_by_size

QUALITY = "quality"
"""What ``include`` may name; all else is ignored (spec 10 §4)."""

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


def read_day(query: Mapping[str, str], bound: Bound, *, joined: datetime.date) -> datetime.date:
    """Return the one day that a request asks for. Raises ValidationError."""
    try:
        return bound.read(query, joined=joined, today=clock.today())
    except ValueError as error:
        raise ValidationError({bound.name: [str(error)]}) from error


def wants_quality(query: Mapping[str, str]) -> bool:
    """Return whether a request asks for how far each day can be trusted."""
    return QUALITY in query.get("include", "").split(",")


def show_days(
    user_id: int, ordinals: Sequence[int], *, with_quality: bool = False
) -> Fragments | Iterator[Fragment]:
    """Write consecutive days of a customer as a JSON array; a large one day by day.

    ``with_quality`` adds how far each of them can be trusted.

    Raises UsageUnavailable if one of them is not calculated, and UsageChanged if days changed while
    large ones are read.
    """
    if not ordinals:
        return Fragments()
    days = [datetime.date.fromordinal(ordinal) for ordinal in ordinals]
    stored = reports.daily_usage(user_id=user_id, first_day=days[0], last_day=days[-1])
    if len(stored) < len(days):
        raise UsageUnavailable
    qualities = of_days(user_id, days[0], days[-1]) if with_quality else {}
    if any(day.counts is None for day in stored.values()):
        return _read_and_show(user_id, stored, qualities)
    return Fragments(_render_day(day, stored[day].counts or "", qualities.get(day)) for day in days)


def _read_and_show(
    user_id: int,
    stored: Mapping[datetime.date, StoredDay],
    qualities: Mapping[datetime.date, Quality],
) -> Iterator[Fragment]:
    """Read and write days, a few at a time (README decision 43).

    One snapshot for all of them would keep a transaction open while the client is waited for. So
    each statement sees its own, and the revisions tell whether it is what was there when the page
    began. Where it is not, UsageChanged breaks the connection: the client has a part of an answer,
    and knows it, rather than a page that never was.
    """
    for days in batched_by_size(
        stored,
        size_of=lambda day: stored[day].bytes,
        limit=reports.BYTES_AT_ONCE,
        most=len(stored),
    ):
        counts = reports.counts_of_days(
            user_id=user_id, revisions={day: stored[day].revision for day in days}
        )
        counts.reverse()
        for day in days:
            # Taken away from the list, a day's text does not outlive its turn.
            yield _render_day(day, counts.pop(), qualities.get(day))


def _render_day(day: datetime.date, counts: str, quality: Quality | None) -> Fragment:
    return rendered(
        DailyConcurrentUsage(
            day, Raw(named_counts(counts).encode()), quality._asdict() if quality else UNSET
        )
    )
