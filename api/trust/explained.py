"""Remember which runs make a number, so that its next page need not look for them (spec 10 §1).

What is remembered belongs to one calculation of one number: another calculation of the day, even
one that changes no count, makes it worthless.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from django.core.cache import cache
from redis import RedisError

from api.metering.facets import Key
from api.metering.timeline import Instant

logger = logging.getLogger(__name__)

KEPT_SECONDS = 3600
MOST_RUNS = 100_000
"""Larger answers are not kept."""


class Place(NamedTuple):
    """What is remembered: a key's number of a customer's UTC day, and its calculation."""

    user_id: int
    day: date
    key: Key
    revision: int
    computed_at: datetime

    @property
    def name(self) -> str:
        """The name in the cache."""
        parts = [self.user_id, str(self.day), *self.key, self.revision, str(self.computed_at)]
        return f"explained-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


class FoundPeak(NamedTuple):
    """When the number was reached, until when, and the runs that make it."""

    since: Instant | None
    until: Instant | None
    carried_over: int
    run_ids: Sequence[int]


def load(place: Place) -> FoundPeak | None:
    """Return what is remembered; None if nothing is, or Redis is away."""
    try:
        stored = cache.get(place.name)
    except RedisError as error:
        logger.warning("Explanations are not read from the cache: %s", error)
        return None
    return None if stored is None else FoundPeak(*stored)


def save(place: Place, found: FoundPeak) -> None:
    """Remember it for an hour, if Redis is there."""
    if len(found.run_ids) > MOST_RUNS:
        return
    try:
        cache.set(place.name, list(found), KEPT_SECONDS)
    except RedisError as error:
        logger.warning("An explanation is not kept in the cache: %s", error)
