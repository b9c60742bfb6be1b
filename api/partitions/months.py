"""Months in UTC, and the names and bounds of their partitions."""

import re
from datetime import date
from typing import NamedTuple, Self

TABLE = "api_instanceevent"
_TEXT = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_NAME = re.compile(rf"{TABLE}_p(\d{{4}})_(\d{{2}})", re.ASCII)


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
        return cls._matched(_TEXT.fullmatch(text), text)

    @classmethod
    def of_partition(cls, name: str) -> Self | None:
        """Return the month whose partition has this name, None if none has."""
        found = _NAME.fullmatch(name)
        return cls._matched(found, name) if found else None

    @classmethod
    def _matched(cls, found: re.Match[str] | None, text: str) -> Self:
        year, month = map(int, found.groups()) if found else (0, 0)
        if not (1 <= month <= 12 and 1 <= year <= 9998):
            raise ValueError(f"{text!r} is not a month such as 2026-11")
        return cls(year, month)

    def later(self, months: int) -> Self:
        """Return the month that is so many months later."""
        index = self.year * 12 + self.month - 1 + months
        return type(self)(index // 12, index % 12 + 1)

    @property
    def partition(self) -> str:
        """The name of its partition."""
        return f"{TABLE}_p{self.year:04}_{self.month:02}"

    @property
    def start(self) -> str:
        """SQL of its first instant."""
        return f"TIMESTAMPTZ '{self}-01 00:00:00+00'"

    @property
    def bounds(self) -> str:
        """The bounds of its partition, as in CREATE TABLE."""
        return f"FOR VALUES FROM ({_bare(self.start)}) TO ({_bare(self.later(1).start)})"

    @property
    def condition(self) -> str:
        """SQL of what holds for its rows."""
        return f"occurred_at >= {self.start} AND occurred_at < {self.later(1).start}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


def _bare(literal: str) -> str:
    return literal.removeprefix("TIMESTAMPTZ ")
