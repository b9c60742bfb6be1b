"""A sign of life that a process leaves in Redis, for whoever wants to know whether it is there.

A program that has one process only, such as beat, beats in its main loop. A thread tells Redis, so
that the loop never waits for a Redis that is away. How long ago that was goes by Redis' clock alone
(decision 41).
"""

import logging
import threading
import time

from django.conf import settings
from redis import RedisError

from util import redis

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
KEPT_SECONDS = 7 * 86400
"""Whoever was silent for longer was never heard of."""


class Heartbeat:
    """The sign of life of one kind of process; ``beat`` costs nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_alive = threading.Event()

    def beat(self) -> None:
        """Note that the process goes on."""
        self._is_alive.set()

    def start(self) -> None:
        """Write to Redis from a thread, now and then, as long as the process goes on."""
        threading.Thread(target=self._run, name=f"heartbeat-{self.name}", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._is_alive.wait()
            self._is_alive.clear()
            self.tell()
            time.sleep(INTERVAL_SECONDS)

    def tell(self) -> None:
        """Write to Redis; one that is away is written to the next time."""
        try:
            redis.client().set(_key(self.name), 1, ex=KEPT_SECONDS)
        except RedisError as error:
            logger.warning("Heartbeat %s: Redis is away (%s)", self.name, type(error).__name__)


def seconds_of_silence(name: str) -> float | None:
    """Return for how long a process has not been heard of; None if it never was, or long ago.

    Raises RedisError if Redis is away.
    """
    left = redis.client().pttl(_key(name))
    return KEPT_SECONDS - left / 1000 if left >= 0 else None


def _key(name: str) -> str:
    return f"{settings.CLOUDIGRADE_ENVIRONMENT}-heartbeat-{name}"
