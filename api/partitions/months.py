"""Months in UTC, and the bounds of their partitions."""

import re
from datetime import date
from typing import NamedTuple, Self

_TEXT = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


class Month(NamedTuple):
    """A month of a year from 1 to 9998."""

    year: int
    month: int

    @classmethod
    def of(cls, day: date) -> Self:
        """Return the month of a day or moment in UTC."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read YYYY-MM. Raises ValueError if there is no such month."""
        found = _TEXT.fullmatch(text)
        year, month = map(int, found.groups()) if found else (0, 0)
        if not (1 <= month <= 12 and 1 <= year <= 9998):
            raise ValueError(f"{text!r} is not a month such as 2026-11")
        return cls(year, month)

    def later(self, months: int) -> Self:
        """Return the month that is so many months later."""
        index = self.year * 12 + self.month - 1 + months
        return type(self)(index // 12, index % 12 + 1)

    @property
    def start(self) -> str:
        """SQL of its first instant."""
        return f"TIMESTAMPTZ '{self}-01 00:00:00+00'"

    @property
    def bounds(self) -> str:
        """The bounds of its partition, as in CREATE TABLE."""
        return f"FOR VALUES FROM ({_bare(self.start)}) TO ({_bare(self.later(1).start)})"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


def _bare(literal: str) -> str:
    return literal.removeprefix("TIMESTAMPTZ ")
