"""Tasks that tell how far days can be trusted (spec 10 §2, §4)."""

from api.coverage.calculate import calculate_coverage
from util.tasks import LONG, task


@task("api.tasks.calculate_coverage", limit=LONG)
def calculate_coverage_task() -> dict[str, int]:
    """Calculate the coverage of today, and of past days that are not final or have changed.

    Return how many accounts were calculated, by day.
    """
    return calculate_coverage()
