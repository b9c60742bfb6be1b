"""One day of a customer: its number, who makes it, and how many were on at each time (12 §1.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from api.coverage.quality import Quality, of_days
from api.metering.facets import Key
from api.metering.timeline import moment_of
from api.trust.course import course_of_day, thinned
from api.trust.explain import Explanation, candidates_of_day, explain, members

MOST_STEPS = 500


class DrawnStep(NamedTuple):
    """From this time on so many runs are on."""

    at: datetime
    on: int


@dataclass(frozen=True)
class Day:
    """What the page shows; ``quality`` is of the key that counts everything.

    ``runs`` are those of one page of the runs on at the peak.
    """

    explanation: Explanation
    course: Sequence[DrawnStep]
    is_thinned: bool
    quality: Quality
    runs: Sequence[dict[str, Any]]


def explained_day(*, user_id: int, day: date, key: Key, limit: int, offset: int) -> Day:
    """Return why a day's number is what it is, as ``explain/`` says it, and the day's course.

    Raises NotCalculatedError. To be called where a transaction is committed even then.
    """
    explanation = explain(user_id=user_id, day=day, key=key)
    steps = course_of_day(candidates_of_day(user_id, day, key), day)
    shown = thinned(steps, MOST_STEPS)
    return Day(
        explanation=explanation,
        course=[DrawnStep(moment_of(step.at), step.on) for step in shown],
        is_thinned=len(shown) < len(steps),
        quality=of_days(user_id, day, day)[day],
        runs=members(
            user_id=user_id,
            run_ids=explanation.run_ids[offset : offset + limit],
            computed_at=explanation.computed_at,
            with_sources=True,
        ),
    )
