"""From runs to the largest numbers of runs on at once, day by day (spec 07 §5).

One sweep over a whole window of days: each run is looked at once however many days it covers, since
the runs that are on when a day begins are those that the day before left on.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import chain

from api.metering.facets import Facets, Key, KeySpace
from api.metering.timeline import Instant

DAY = 86_400_000_000
"""Microseconds of a day."""

_EPOCH = date(1970, 1, 1).toordinal()

Span = tuple[Instant, Instant | None, int]
"""A run: its start, its end or None, and the number of what it counts for, such as its image."""

Peaks = list[tuple[Key, int]]
"""A day's keys with their largest numbers, in the order of spec 07 §5.3: the total comes first."""


def start_of(day: date) -> Instant:
    """Return the first moment of a UTC day."""
    return (day.toordinal() - _EPOCH) * DAY


def day_of(moment: Instant) -> date:
    """Return the UTC day of a moment."""
    return date.fromordinal(_EPOCH + moment // DAY)


def daily_peaks(
    spans: Iterable[Span], facets: Mapping[int, Facets], first_day: date, last_day: date
) -> Iterator[tuple[date, Peaks]]:
    """Return each day from the first to the last, both included, with its peaks.

    ``facets`` has those of whatever counts, by the numbers in ``spans``; other runs are left out.
    ``spans`` may come in any order and may reach beyond the window; the order of equal starts
    decides nothing but the order of keys. A day without counted runs has no peaks. A run belongs
    to each day that it touches, also to the one at whose first moment it ends. At one instant ends
    come first, then runs without length, then starts.
    """
    begin = start_of(first_day)
    days = last_day.toordinal() - first_day.toordinal() + 1
    sweep = _Sweep(spans, facets, begin, days)
    for number in range(days):
        yield date.fromordinal(first_day.toordinal() + number), sweep.day(number)


def _by_start(span: Span) -> int:
    """Order starts in time; at one instant runs without length come before the others."""
    start, end, _ = span
    return start * 2 + (start != end)


class _Sweep:
    """State of a walk through time."""

    def __init__(
        self, spans: Iterable[Span], facets: Mapping[int, Facets], begin: Instant, days: int
    ) -> None:
        combinations = {one: place for place, one in enumerate(dict.fromkeys(facets.values()))}
        self._combination_of = {image: combinations[one] for image, one in facets.items()}
        self._space = KeySpace(list(combinations))
        self._begin = begin
        self._counts = [0] * self._space.number_of_counters
        # Of each combination of facets the runs that started, oldest first, with their number in
        # the order of starts. Those that are over leave when they have become the oldest.
        self._started: list[deque[tuple[int, Instant | None]]] = [deque() for _ in combinations]
        self._number_of_starts = 0
        self._quiet: Peaks | None = None
        self._order: tuple[tuple[int, ...], list[int]] = ((), [])

        limit = begin + days * DAY
        before: list[Span] = []
        self._starts: list[list[Span]] = [[] for _ in range(days)]
        self._ends: list[list[tuple[Instant, int]]] = [[] for _ in range(days)]
        starts, ends = self._starts, self._ends
        for span in spans:
            start, end, image = span
            combination = self._combination_of.get(image)
            if combination is None:
                continue
            if start >= limit or (end is not None and end < begin):
                continue
            if start < begin:
                before.append(span)
            else:
                starts[(start - begin) // DAY].append(span)
            if end is not None and end < limit and end != start:
                ends[(end - begin) // DAY].append((end, combination))
        before.sort(key=_by_start)
        self._walk(before, [])

    def day(self, number: int) -> Peaks:
        """Walk through the next day. To be called for each day, in order."""
        starts, ends = self._starts[number], self._ends[number]
        quiet = not starts and not ends
        if quiet and self._quiet is not None:
            return self._quiet
        starts.sort(key=_by_start)
        combinations = self._combinations(self._begin + number * DAY, starts)
        report = self._report(combinations, self._walk(starts, ends))
        self._quiet = report if quiet else None
        return report

    def _walk(self, starts: list[Span], ends: list[tuple[Instant, int]]) -> list[int]:
        """Apply starts and ends, using them up; give the largest count that each counter had."""
        counts = self._counts
        peaks = counts.copy()
        counters_of = self._space.counters_of
        ends.sort(reverse=True)
        for number, (start, end, image) in enumerate(starts, self._number_of_starts):
            combination = self._combination_of[image]
            while ends and ends[-1][0] <= start:
                _subtract(counts, counters_of[ends.pop()[1]])
            self._started[combination].append((number, end))
            for counter in counters_of[combination]:
                count = counts[counter] + 1
                counts[counter] = count
                if count > peaks[counter]:
                    peaks[counter] = count
            if start == end:
                _subtract(counts, counters_of[combination])
        for _, combination in ends:
            _subtract(counts, counters_of[combination])
        self._number_of_starts += len(starts)
        starts.clear()
        ends.clear()
        return peaks

    def _combinations(self, begin: Instant, starts: list[Span]) -> tuple[int, ...]:
        """Return the day's combinations of facets in the order of their earliest starts."""
        earliest = []
        for combination, runs in enumerate(self._started):
            while runs and (end := runs[0][1]) is not None and end < begin:
                runs.popleft()
            if runs:
                earliest.append((runs[0][0], combination))
        earliest.sort()
        already_on = (combination for _, combination in earliest)
        started = (self._combination_of[image] for _, _, image in starts)
        return tuple(dict.fromkeys(chain(already_on, started)))

    def _report(self, combinations: tuple[int, ...], peaks: list[int]) -> Peaks:
        known, order = self._order
        if combinations != known:
            keys_of = self._space.keys_of
            order = list(dict.fromkeys(chain.from_iterable(keys_of[c] for c in combinations)))
            self._order = combinations, order
        keys, counter_of = self._space.keys, self._space.counter_of
        return [(keys[key], peaks[counter_of[key]]) for key in order]


def _subtract(counts: list[int], counters: tuple[int, ...]) -> None:
    for counter in counters:
        counts[counter] -= 1
