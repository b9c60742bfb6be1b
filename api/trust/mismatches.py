"""Days whose stored number was not that of the runs behind it, as ``explain`` found lately.

The days are made right by themselves, so nothing in the database says afterwards that one was
wrong. Redis remembers it for a day, for operators; the metric counts it.
"""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, cast

from django.conf import settings
from redis import RedisError

from util import clock, redis
from util.metrics import counter

logger = logging.getLogger(__name__)

MISMATCHES = counter(
    "cloudigrade_explain_mismatch_total",
    "Stored numbers that were not those of the runs behind them.",
)

REMEMBERED = timedelta(hours=24)
MOST_REMEMBERED = 100
"""Days, of which the newest are kept."""


class Mismatch(NamedTuple):
    """A customer's UTC day that could not be explained, and when that was found last."""

    user_id: int
    day: date
    found_at: datetime


def note_mismatch(*, user_id: int, day: date, stored: int, members: int) -> None:
    """Count, log and remember that a day's number is not that of its runs."""
    MISMATCHES.inc()
    logger.error(
        "The number of user %s on %s was stored as %s, but %s runs make it; it is calculated again",
        user_id,
        day,
        stored,
        members,
    )
    try:
        with redis.client().pipeline() as pipeline:
            pipeline.zadd(_key(), {f"{user_id} {day}": clock.now().timestamp()})
            pipeline.zremrangebyrank(_key(), 0, -MOST_REMEMBERED - 1)
            pipeline.expire(_key(), REMEMBERED)
            pipeline.execute()
    except RedisError as error:
        logger.warning("A mismatch is not remembered, Redis is away: %s", type(error).__name__)


def recent_mismatches() -> list[Mismatch]:
    """Return the days that were found within 24 hours, the newest first. Raises RedisError."""
    since = (clock.now() - REMEMBERED).timestamp()
    found = redis.client().zrevrangebyscore(_key(), "+inf", since, withscores=True)
    return [_mismatch(name, seconds) for name, seconds in cast("list[tuple[bytes, float]]", found)]


def _mismatch(name: bytes, seconds: float) -> Mismatch:
    user_id, day = name.decode().split()
    return Mismatch(int(user_id), date.fromisoformat(day), datetime.fromtimestamp(seconds, UTC))


def _key() -> str:
    return f"{settings.CLOUDIGRADE_ENVIRONMENT}-explain-mismatches"
