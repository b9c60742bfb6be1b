"""A claim in the cache that one process holds for as long as it lives (spec 08 DR-11)."""

import atexit
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable

import redis
from django.core.cache import cache

logger = logging.getLogger(__name__)

_OWNER = str(uuid.uuid4())
"""What tells this process from others; a process never waits for itself."""


class Lease:
    """A claim that ends some seconds after its holder last renewed it."""

    def __init__(self, name: str, seconds: int, owner: str = _OWNER) -> None:
        self.name = name
        self._key = f"lease-{name}"
        self._seconds = seconds
        self._owner = owner

    def renew(self) -> bool:
        """Take the claim if nobody has it, keep it if it is ours; tell whether it is ours now.

        Raises RedisError if the cache is away.
        """
        if cache.add(self._key, self._owner, self._seconds):
            return True
        return cache.get(self._key) == self._owner and bool(cache.touch(self._key, self._seconds))

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait, as long as it takes, until the claim is ours."""
        told = False
        while not self._is_ours():
            if not told:
                logger.warning("Another process holds the lease %s; waiting", self.name)
                told = True
            sleep(self._seconds / 3)

    def _is_ours(self) -> bool:
        try:
            return self.renew()
        except redis.RedisError as error:
            logger.warning("Lease %s: the cache is away (%s)", self.name, type(error).__name__)
            return False

    def hold(self) -> None:
        """Renew the claim from a thread until the process ends.

        A process that lost it, since it was halted for longer than the claim lasts, ends itself.
        """
        threading.Thread(target=self._keep, name=f"lease-{self.name}", daemon=True).start()
        atexit.register(self.release)

    def _keep(self) -> None:
        while self.check():
            time.sleep(self._seconds / 3)

    def check(self) -> bool:
        """Renew once; tell whether the claim can still be ours, and ask the process to end if not.

        Where the cache is away, nobody else gets the claim.
        """
        try:
            if self.renew():
                return True
        except redis.RedisError as error:
            logger.warning("Lease %s: the cache is away (%s)", self.name, type(error).__name__)
            return True
        logger.critical("Another process has taken the lease %s; ending", self.name)
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    def release(self) -> None:
        """Give the claim up, if it is ours, so that the next one need not wait."""
        try:
            cache.delete_if(self._key, self._owner)
        except redis.RedisError:
            logger.warning("Lease %s ends by itself: the cache is away", self.name)
