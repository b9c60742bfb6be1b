"""The whole fleet on one page (spec 12 §1.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models.functions import Now

from api.models import FleetSample
from api.overview.coverage import FleetCoverage, fleet_coverage
from api.overview.samples import measure
from util import clock

NEWEST_FOR = timedelta(minutes=5)
"""A sample that is older says nothing of now."""

SHOWN = timedelta(hours=24)
STEP = timedelta(minutes=10)

# Both counts are of narrow indexes; the oldest mark is the first of its index.
_NUMBERS = """
SELECT (SELECT count(*) FROM api_user),
       (SELECT count(*) FROM api_cloudaccount WHERE cloud_type = 'aws'),
       (SELECT count(*) FROM api_cloudaccount WHERE cloud_type = 'azure'),
       (SELECT extract(epoch FROM clock_timestamp() - min(marked_at)) FROM api_staleusage)
"""

SERIES = (
    "event_age_p50",
    "event_age_p95",
    "queue_trail",
    "queue_results",
    "queue_celery",
)

_HISTORY = f"""
SELECT date_bin(%(step)s, at, timestamptz '2000-01-01') AS bucket,
       {", ".join(f"max({name})" for name in SERIES)}
FROM api_fleetsample
WHERE at > now() - %(shown)s
GROUP BY bucket ORDER BY bucket
"""  # noqa: S608 - made of constants


class Numbers(NamedTuple):
    """How much there is; ``stale_seconds`` is None where no day waits to be calculated."""

    customers: int
    aws_accounts: int
    azure_accounts: int
    stale_seconds: float | None

    @property
    def accounts(self) -> int:
        """Return the number of accounts of both clouds."""
        return self.aws_accounts + self.azure_accounts


class Point(NamedTuple):
    """The largest values of ten minutes; None where nothing was measured."""

    at: datetime
    values: Sequence[float | None]


@dataclass(frozen=True)
class Fleet:
    """What the page shows; ``measured_at`` is when ``sample`` was taken."""

    numbers: Numbers
    sample: FleetSample
    measured_at: datetime
    history: Sequence[Point]
    coverage: FleetCoverage

    @property
    def troubles(self) -> Sequence[Any] | None:
        """Return what needs a look; None if that is not known."""
        return self.sample.details.get("troubles")

    @property
    def findings(self) -> Sequence[Mapping[str, str]] | None:
        """Return what ``api.doctor`` found when the sample was taken; None if it was not asked."""
        return self.sample.details.get("findings")


def fleet() -> Fleet:
    """Return the state of the fleet, from the newest sample; without one it is measured now."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS)
        numbers = Numbers(*cursor.fetchone())
        spans: dict[str, Any] = {"step": STEP, "shown": SHOWN}
        cursor.execute(_HISTORY, spans)
        history = [Point(row[0], row[1:]) for row in cursor.fetchall()]
    sample = FleetSample.objects.filter(at__gt=Now() - NEWEST_FOR).order_by("-at").first()
    if sample is None:
        return Fleet(numbers, measure(), clock.now(), history, fleet_coverage())
    return Fleet(numbers, sample, sample.at, history, fleet_coverage())
