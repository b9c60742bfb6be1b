"""A claim in Redis that one process holds for as long as it lives (spec 08 DR-11).

How long a claim lasts goes by Redis' clock alone (decision 41).
"""

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from redis import RedisError
from redis.exceptions import LockError

from util.locks import redis_lock

logger = logging.getLogger(__name__)


class Lease:
    """A claim that ends some seconds after its holder last renewed it."""

    def __init__(self, name: str, seconds: int) -> None:
        self.name = name
        self._seconds = seconds
        self._lock = redis_lock(f"lease-{name}", seconds)
        self._mutex = threading.Lock()
        self._is_held = False
        self._renewed_at = 0.0

    def renew(self) -> bool:
        """Take the claim if nobody has it, keep it if it is ours; tell whether it is ours now.

        Raises RedisError if Redis is away.
        """
        with self._mutex:
            asked_at = time.monotonic()
            self._is_held = self._keep_or_take()
            if self._is_held:
                self._renewed_at = asked_at
            return self._is_held

    def _keep_or_take(self) -> bool:
        if self._is_held:
            try:
                return bool(self._lock.reacquire())
            except LockError:
                logger.warning("The lease %s ran out, or Redis lost it", self.name)
        return bool(self._lock.acquire(blocking=False))

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
        except RedisError as error:
            logger.warning("Lease %s: Redis is away (%s)", self.name, type(error).__name__)
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

    def is_certain(self) -> bool:
        """Return whether nobody else can have the claim at this moment.

        Asks Redis only if the claim may have run out since it was renewed, as it has in a process
        that was halted: its main thread may go on before the one that renews does.
        """
        return time.monotonic() - self._renewed_at < self._seconds or self.check()

    def check(self) -> bool:
        """Renew once; tell whether the claim can still be ours, and ask the process to end if not.

        Where Redis is away, nobody else gets the claim.
        """
        try:
            if self.renew():
                return True
        except RedisError as error:
            logger.warning("Lease %s: Redis is away (%s)", self.name, type(error).__name__)
            return True
        logger.critical("Another process has taken the lease %s; ending", self.name)
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    def release(self) -> None:
        """Return the claim up, if it is ours, so that the next one need not wait."""
        with self._mutex:
            if not self._is_held:
                return
            self._is_held = False
            try:
                self._lock.release()
            except LockError:
                logger.warning("The lease %s had run out already", self.name)
            except RedisError:
                logger.warning("Lease %s ends by itself: Redis is away", self.name)
