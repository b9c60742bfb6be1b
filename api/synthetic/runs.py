"""When a made-up instance is on (spec 07 §12.4). Pure, but for the generator it is given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

HOUR = 3600
DAY = 86_400


@dataclass(frozen=True)
class Habits:
    """How instances behave; times in seconds."""

    since: int
    runs_min: int
    runs_mean: float
    length_min: int
    length_mean: int
    gap_max: int

    @classmethod
    def of_hours(
        cls,
        *,
        since_days_ago: int,
        runs_min: int,
        runs_mean: float,
        hours_min: float,
        hours_mean: float,
        hours_between: float,
    ) -> "Habits":
        """Take the numbers of a request, which are days and hours."""
        length_min = int(hours_min * HOUR)
        return cls(
            since=since_days_ago * DAY,
            runs_min=runs_min,
            runs_mean=runs_mean,
            length_min=length_min,
            length_mean=max(length_min, int(hours_mean * HOUR)),
            gap_max=int(hours_between * HOUR * 2),
        )

    def draw_count(self, random: Random) -> int:
        """Draw how many runs an instance has."""
        most = int(2 * self.runs_mean)
        drawn = math.ceil(random.normalvariate(self.runs_mean, most / 5) - 0.5)
        return max(self.runs_min, min(drawn, most))

    def draw_lengths(self, random: Random, count: int) -> list[int]:
        """Draw how long the runs are."""
        longest = 2 * self.length_mean - self.length_min
        return [int(random.uniform(self.length_min, longest)) for _ in range(count)]

    def draw_gaps(self, random: Random, count: int) -> list[int]:
        """Draw how long the instance is off before each run but the first."""
        return [int(random.uniform(1, self.gap_max)) for _ in range(count - 1)]

    def draw_start(self, random: Random, lengths: Sequence[int], gaps: Sequence[int]) -> int:
        """Draw how long after the beginning of all the first run starts."""
        total = sum(lengths) + sum(gaps)
        mean = total / len(lengths)
        return max(int(random.uniform(0, mean)), int(random.uniform(0, self.since - total + mean)))


def draw_runs(habits: Habits, now: int, random: Random) -> list[tuple[int, int | None]]:
    """Draw the runs of one instance: starts and ends, in the unit of ``now``, which is seconds.

    None of them begins after now; one that would end later is open and the last.
    """
    count = habits.draw_count(random)
    if count == 0:
        return []
    lengths = habits.draw_lengths(random, count)
    gaps = habits.draw_gaps(random, count)
    start = now - habits.since + habits.draw_start(random, lengths, gaps)
    runs: list[tuple[int, int | None]] = []
    for length, gap in zip(lengths, [*gaps, 0], strict=True):
        if start > now:
            break
        end = start + length
        if end > now:
            runs.append((start, None))
            break
        runs.append((start, end))
        start = end + gap
    return runs
