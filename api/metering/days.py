"""Ranges of days: how they are merged, and in which windows they are worked off. Pure."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

ONE_DAY = timedelta(days=1)


class Days(NamedTuple):
    """Days from the first to the last, both included; without a last one they never end."""

    first: date
    last: date | None

    def holds(self, day: date) -> bool:
        """Return whether a day is one of these."""
        return self.first <= day and (self.last is None or day <= self.last)


def merge(ranges: Iterable[Days]) -> list[Days]:
    """Return the same days as few ranges: ordered, neither overlapping nor touching."""
    merged: list[Days] = []
    for first, last in sorted(ranges, key=lambda days: days.first):
        if merged:
            before = merged[-1]
            if before.last is None:
                break
            if first <= before.last or first == before.last + ONE_DAY:
                later = None if last is None else max(last, before.last)
                merged[-1] = Days(before.first, later)
                continue
        merged.append(Days(first, last))
    return merged


def each_day(first: date, last: date) -> Iterator[date]:
    """Return the days from the first to the last, both included."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def portions(ranges: Iterable[tuple[date, date]], *, length: int) -> list[list[Days]]:
    """Share out days so that no portion has more than ``length`` of them, the newest first.

    The ranges are first and last days. They do not overlap, and come with the newest first.
    """
    shared: list[list[Days]] = []
    room = 0
    for first, last in ranges:
        left = (last - first).days + 1
        while left:
            if not room:
                shared.append([])
                room = length
            taken = min(room, left)
            until = first + timedelta(days=left - 1)
            shared[-1].append(Days(until - timedelta(days=taken - 1), until))
            room -= taken
            left -= taken
    return shared


def windows(days: Iterable[date], *, gap: int, length: int) -> list[list[date]]:
    """Group days so that each group can be worked off at once.

    A group spans at most ``length`` days and has no hole of more than ``gap`` days: reading the
    history of a longer hole would cost more than starting again after it.
    """
    groups: list[list[date]] = []
    for day in sorted(days):
        if groups:
            group = groups[-1]
            if (day - group[-1]).days <= gap and (day - group[0]).days < length:
                group.append(day)
                continue
        groups.append([day])
    return groups
