"""What a lost worker was busy with comes back within minutes (spec 08 §6.4).

Redis keeps a message that was handed to a worker, and hands it out again when that was longer ago
than the visibility timeout: hours, since a task may take or wait that long. So a worker says again
and again which messages it still holds, as readers of SQS do, and returns to their queues those
that nobody has spoken of for some minutes.
"""

import logging
import threading
import time
from typing import Any

from celery import current_app
from kombu.transport.redis import Channel

logger = logging.getLogger(__name__)

RENEWALS = 3
"""How often a worker speaks before it would be taken for lost."""

PATIENCE = {"socket_connect_timeout": 5, "socket_timeout": 15}
"""Seconds for Redis: who waits for it longer is taken for lost."""


class HeldTasks:
    """The messages that a worker has and has not acknowledged.

    ``consumer`` is Celery's; ``lost_after`` are the seconds after which a silent worker is taken
    for lost, ``longest`` those for which a message may be held at all, by a worker that hangs.
    """

    def __init__(self, consumer: Any, *, lost_after: float, longest: float) -> None:
        self._consumer = consumer
        self._lost_after = lost_after
        self._longest = longest
        self._since: dict[str, float] = {}
        self._ended = threading.Event()

    def keep(self) -> None:
        """Look after them from a thread, which works also while a task occupies the process."""
        threading.Thread(target=self._keep, name="held-tasks", daemon=True).start()

    def let_go(self) -> None:
        """End that thread: the worker holds nothing any more."""
        self._ended.set()

    def _keep(self) -> None:
        while not self._ended.wait(self._lost_after / RENEWALS):
            try:
                self.look_after()
            except Exception as error:
                logger.warning("Held tasks are not looked after now: %r", error)

    def look_after(self) -> None:
        """Say once what is held here, and return once what was held by those who are lost."""
        options = {**PATIENCE, "visibility_timeout": self._lost_after}
        with current_app.connection_for_write(transport_options=options) as connection:
            channel = connection.default_channel
            self._renew(channel)
            channel.qos.restore_visible(num=None)

    def _renew(self, channel: Channel) -> None:
        now = time.time()
        self._since = {tag: self._since.get(tag, now) for tag in self._held()}
        times = {tag: now for tag, since in self._since.items() if now - since < self._longest}
        if times:
            # Only what is still there: a message may have been acknowledged at this moment.
            channel.client.zadd(channel.unacked_index_key, times, xx=True)

    def _held(self) -> list[str]:
        reader = self._consumer.task_consumer
        # It has no channel while the worker looks for its broker.
        return list(reader.channel.qos._delivered) if reader and reader.channel else []
