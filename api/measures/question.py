"""What is asked for: which buckets, by which dimensions, of what (spec 11 §1, §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from api.measures.buckets import (
    MOST_DAYS_FROM_RUNS,
    Bucket,
    BucketsError,
    Granularity,
    days_of,
)
from api.metering.facets import Facets

FACETS = Facets._fields
DIMENSIONS = (
    "account",
    "arch",
    "billing",
    "cloud_type",
    "image",
    "instance_type",
    "region",
    "role",
    "service_type",
    "sla",
    "usage",
)
"""In the order in which values stand in a group and sort rows: that of their names."""

FROM_RUNS_ONLY = frozenset({"billing", "image", "instance_type", "region"})
"""Dimensions by which no day is stored."""

BY_STRETCH = frozenset({"billing", "instance_type"})
"""Dimensions that may change in the course of a run."""

MOST_GROUPS = 1000
MOST_DIMENSIONS = 2


class TooManyGroupsError(Exception):
    """There are more groups than may be asked for."""


@dataclass(frozen=True)
class Question:
    """A customer's buckets, ``now`` being the moment up to which they are told.

    ``joined`` is the UTC day on which the customer joined. ``filters`` and ``excludes`` have a
    dimension's values: only stretches with one of them are counted, or all others. ``dimensions``
    are in the order of their names.
    """

    user_id: int
    joined: date
    granularity: Granularity
    buckets: Sequence[Bucket]
    now: datetime
    dimensions: tuple[str, ...] = ()
    filters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    excludes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def named(self) -> frozenset[str]:
        """All dimensions that matter."""
        return frozenset({*self.dimensions, *self.filters, *self.excludes})

    def check(self) -> None:
        """Raise BucketsError if more days are asked for than may be computed from runs."""
        from_runs = sorted(self.named & FROM_RUNS_ONLY)
        if from_runs and days_of(self.buckets) > MOST_DAYS_FROM_RUNS:
            raise BucketsError(
                "end",
                f"Must be at most {MOST_DAYS_FROM_RUNS} days after start"
                f" to group or filter by {from_runs[0]}.",
            )

    def of(self, buckets: Sequence[Bucket]) -> "Question":
        """Return the same question about other buckets."""
        return replace(self, buckets=buckets)
