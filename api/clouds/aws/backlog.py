"""Since when no log file was processed although some were waiting (spec 10 §2).

Two moments are remembered in the cache: when ingest was done with a file last
(``api.clouds.freshness``), and since when each look at the queue has found something in it. Losing
them only delays what is seen.
"""

import logging
from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from redis import RedisError

from api.clouds import freshness
from api.models import CloudType
from util import clock

logger = logging.getLogger(__name__)

WAITING_SINCE = "ingest_waiting_since"

OUTAGE_AFTER = timedelta(minutes=30)


def note_queue(messages: int, dead_letters: int = 0) -> None:
    """Remember since when the queue has held messages, those being worked on included.

    A queue that is empty because all its messages were given up waits still: for what they
    announce, until anything was processed after they came.
    """
    if messages:
        cache.add(WAITING_SINCE, clock.now().timestamp(), None)
    elif not dead_letters or _was_processed_since(cache.get(WAITING_SINCE)):
        cache.delete(WAITING_SINCE)


def _was_processed_since(waiting: float | None) -> bool:
    return waiting is None or freshness.last_ingest().get(str(CloudType.AWS), 0.0) > waiting


def outage_since(now: datetime) -> datetime | None:
    """Return when the outage of ingest began that goes on now; None if there is none.

    It is one if nothing was processed for more than half an hour while the queue was not empty.
    """
    try:
        waiting = cache.get(WAITING_SINCE)
        last = freshness.last_ingest().get(str(CloudType.AWS), 0.0)
    except RedisError as error:
        logger.warning("It is unknown whether ingest works: %s", error)
        return None
    if waiting is None:
        return None
    began = datetime.fromtimestamp(max(waiting, last), UTC)
    return began if now - began > OUTAGE_AFTER else None
