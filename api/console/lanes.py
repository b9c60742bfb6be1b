"""An instance's life as a drawing that needs no script (spec 12 §1.4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.console.tables import shown
from api.overview.instance import DrawnSpan, InstanceHistory

WIDTH = 1000
NARROWEST = 2
"""Units of width that everything has, so that it can be seen."""


@dataclass(frozen=True)
class LaneMark:
    """A rectangle from ``x`` on, and what it stands for."""

    x: str
    width: str
    text: str


@dataclass(frozen=True)
class Lane:
    """Marks of one kind on the common axis of time."""

    name: str
    y: int
    marks: Sequence[LaneMark]


@dataclass(frozen=True)
class Drawing:
    """The lanes, and what the axis begins and ends with."""

    lanes: Sequence[Lane]
    start: datetime
    end: datetime


def drawing_of(history: InstanceHistory) -> Drawing | None:
    """Return the drawing of an instance's life; None if nothing is known to draw."""
    starts = [span.start for span in (*history.runs, *history.unsure)]
    starts += [at for at, _ in history.events]
    if not starts:
        return None
    axis = _Axis(min(starts), history.now)
    return Drawing(
        lanes=(
            Lane("runs", 20, list(axis.spans(history.runs, "run"))),
            Lane("unsure", 60, list(axis.spans(history.unsure, "unsure"))),
            Lane("events", 100, [axis.point(at, text) for at, text in history.events]),
        ),
        start=axis.start,
        end=axis.end,
    )


class _Axis:
    def __init__(self, start: datetime, end: datetime) -> None:
        self.start = start
        self.end = max(start, end)
        self._seconds = max((self.end - start).total_seconds(), 1.0)

    def spans(self, spans: Sequence[DrawnSpan], what: str) -> Iterator[LaneMark]:
        for start, end in spans:
            until = shown(end) if end else "now"
            yield self._mark(start, end or self.end, f"{what} {shown(start)} to {until}")

    def point(self, at: datetime, what: str) -> LaneMark:
        return self._mark(at, at, f"{what} {shown(at)}")

    def _mark(self, start: datetime, end: datetime, text: str) -> LaneMark:
        x = min(self._place(start), WIDTH - NARROWEST)
        width = max(self._place(end) - x, NARROWEST)
        return LaneMark(f"{x:.1f}", f"{width:.1f}", text)

    def _place(self, at: datetime) -> float:
        share = (at - self.start).total_seconds() / self._seconds
        return WIDTH * min(max(share, 0.0), 1.0)
