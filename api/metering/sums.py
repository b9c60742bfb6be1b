"""How many seconds runs were on, day by day and by what they count for (spec 11 §1). Pure.

Each run is looked at once however many days it covers: a start adds the rest of its day and, from
the next day on, whole days; an end takes the same away. Added up over the days these are the sums.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from itertools import accumulate
from typing import Any, NamedTuple

from api.metering.concurrency import DAY, Span, start_of
from api.metering.facets import Facets
from api.metering.timeline import Instant

SECOND = 1_000_000
"""Microseconds of a second."""
SECONDS_OF_DAY = 86_400


class SumKey(NamedTuple):
    """What a run's seconds are stored for; sizes later in the run are JSON, see ``api.models``."""

    image_id: int
    account_id: int
    instance_type: str | None
    cpus: int | None
    resizes: str | None


class Cells:
    """Numbers for cells, in the order of their first use."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}

    def number(self, cell: tuple[Any, ...]) -> int:
        """Return the number of a cell, a tuple shaped like ``SumKey``."""
        return self._numbers.setdefault(cell, len(self._numbers))

    def images(self) -> set[int]:
        """Return the ids of all images."""
        return {cell[0] for cell in self._numbers}

    def counted(self, facets: Mapping[int, Facets]) -> dict[int, Facets]:
        """Return the facets of those cells whose image has any, by the cells' numbers."""
        return {
            number: facets[cell[0]] for cell, number in self._numbers.items() if cell[0] in facets
        }

    def all(self) -> list[SumKey]:
        """Return the cells in the order of their numbers."""
        return [SumKey(*cell) for cell in self._numbers]


def daily_sums(
    spans: Collection[Span],
    cells: Cells,
    counted: Mapping[int, Facets],
    first_day: date,
    last_day: date,
) -> Iterator[str]:
    """Yield the sums of each day from the first to the last, both included, as JSON.

    The JSON is what ``ConcurrentUsage.sums`` holds. Runs of cells that are not among ``counted``
    are left out. Starts and ends are cut down to their whole second; a run covers the time from its
    start until before its end, and one without an end all days from its start on.
    """
    days = last_day.toordinal() - first_day.toordinal() + 1
    sums = _Sums(counted, cells.all(), days)
    sums.add(spans, start_of(first_day))
    return sums.encoded()


class _Sums:
    """For each sort of seconds the steps by which its sum rises and falls from day to day."""

    def __init__(self, counted: Mapping[int, Facets], cells: Sequence[SumKey], days: int) -> None:
        self._days = days
        self._counted = counted
        self._cells = cells
        self._steps: dict[str, list[int]] = {}

    def add(self, spans: Collection[Span], begin: Instant) -> None:
        """Add the runs, each of which touches the window that starts at ``begin``."""
        steps_of = {
            number: self._steps_of(facets, self._cells[number])
            for number, facets in self._counted.items()
            if self._cells[number].resizes is None
        }
        stretches: list[Span] = []
        if len(steps_of) < len(self._counted):
            stretches = [*self._stretches(spans, begin, steps_of)]
        first_second, days = begin // SECOND, self._days
        for some in (spans, stretches):
            for start, end, number in some:
                steps = steps_of.get(number)
                if steps is None:
                    continue
                day, second = divmod(max(start // SECOND - first_second, 0), SECONDS_OF_DAY)
                steps[day] += SECONDS_OF_DAY - second
                steps[day + 1] += second
                if end is not None:
                    day, second = divmod(end // SECOND - first_second, SECONDS_OF_DAY)
                    if day < days:
                        steps[day] -= SECONDS_OF_DAY - second
                        steps[day + 1] -= second

    def encoded(self) -> Iterator[str]:
        """Yield each day's sums as JSON."""
        sums = [(head, list(accumulate(steps))) for head, steps in self._steps.items()]
        for day in range(self._days):
            entries = [f"{head}{seconds[day]}]" for head, seconds in sums if seconds[day]]
            yield f"[{', '.join(entries)}]"

    def _steps_of(self, facets: Facets, cell: SumKey) -> list[int]:
        """Return the steps of a sort, whose JSON up to the seconds is their key."""
        sort = [cell.account_id, *facets, cell.instance_type, cell.cpus]
        head = json.dumps(sort, ensure_ascii=False)[:-1] + ", "
        return self._steps.setdefault(head, [0] * (self._days + 1))

    def _stretches(
        self, spans: Collection[Span], begin: Instant, steps_of: dict[int, list[int]]
    ) -> Iterator[Span]:
        """Yield the stretches, of one size each, of runs in whose course the size changed.

        Their cells get numbers of their own in ``steps_of``. Stretches beyond the window are left
        out.
        """
        limit = begin + self._days * DAY
        for start, end, number in spans:
            facets, cell = self._counted.get(number), self._cells[number]
            if facets is None or cell.resizes is None:
                continue
            for at, *size in [*json.loads(cell.resizes), (end, None, None)]:
                if start < limit and (at is None or at >= begin):
                    # Negative, so that no other cell has this number.
                    fresh = -len(steps_of) - 1
                    steps_of[fresh] = self._steps_of(facets, cell)
                    yield start, at, fresh
                start = at
                cell = cell._replace(instance_type=size[0], cpus=size[1])
