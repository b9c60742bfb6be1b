"""Since when no log file was processed although some were waiting (spec 10 §2).

Two moments are remembered in the cache: when ingest was done with a file last, and since when each
look at the queue has found something in it. Losing them only delays what is seen.
"""

import logging
from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from redis import RedisError

from util import clock

logger = logging.getLogger(__name__)

LAST_INGEST = "ingest_last_at"
WAITING_SINCE = "ingest_waiting_since"

OUTAGE_AFTER = timedelta(minutes=30)


def note_ingest() -> None:
    """Remember that ingest was done with a log file now."""
    try:
        cache.set(LAST_INGEST, clock.now().timestamp(), None)
    except RedisError as error:
        logger.warning("The time of the last ingest is not remembered: %s", error)


def note_queue(messages: int) -> None:
    """Remember since when the queue has held messages, those being worked on included."""
    if messages:
        cache.add(WAITING_SINCE, clock.now().timestamp(), None)
    else:
        cache.delete(WAITING_SINCE)


def last_ingest() -> float | None:
    """Return when ingest was done with a log file last, as a Unix time; None if it is unknown."""
    moment: float | None = cache.get(LAST_INGEST)
    return moment


def outage_since(now: datetime) -> datetime | None:
    """Return when the outage of ingest began that goes on now; None if there is none.

    It is one if nothing was processed for more than half an hour while the queue was not empty.
    """
    try:
        known = cache.get_many([LAST_INGEST, WAITING_SINCE])
    except RedisError as error:
        logger.warning("It is unknown whether ingest works: %s", error)
        return None
    waiting = known.get(WAITING_SINCE)
    if waiting is None:
        return None
    began = datetime.fromtimestamp(max(waiting, known.get(LAST_INGEST) or 0.0), UTC)
    return began if now - began > OUTAGE_AFTER else None
