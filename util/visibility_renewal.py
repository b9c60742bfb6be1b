"""What a lost worker was busy with comes back within minutes (spec 08 §6.4).

Redis keeps a message that was handed to a worker, and hands it out again when that was longer ago
than the visibility timeout: hours, since a task may take or wait that long. So a worker says again
and again which messages it still holds, as readers of SQS do, and returns to their queues those
that nobody has spoken of for some minutes.

Workers' clocks differ (decision 41). What a worker writes beside a message is its own time, but
others only look whether that changes; for how long it has not, Redis' clock tells.
"""

import logging
import threading
import time
from typing import Any

from celery import current_app
from kombu.transport.redis import Channel

from util import redis

logger = logging.getLogger(__name__)

RENEWALS = 5
"""How often a worker speaks before it would be taken for lost."""

TIMEOUTS = {"socket_connect_timeout": 5, "socket_timeout": 15}
"""Seconds for Redis: who waits for it longer is taken for lost."""

_FIND_SILENT = """
local index, seen = KEYS[1], KEYS[2]
local time = redis.call("TIME")
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local held, silent = {}, {}
local scores = redis.call("ZRANGE", index, 0, -1, "WITHSCORES")
for i = 1, #scores, 2 do
    local tag, score = scores[i], scores[i + 1]
    held[tag] = true
    local known, since = string.match(redis.call("HGET", seen, tag) or "", "^(.*) (.*)$")
    if known ~= score then
        redis.call("HSET", seen, tag, score .. string.format(" %.3f", now))
    elseif now - tonumber(since) > tonumber(ARGV[1]) then
        table.insert(silent, tag)
    end
end
for _, tag in ipairs(redis.call("HKEYS", seen)) do
    if not held[tag] then redis.call("HDEL", seen, tag) end
end
return silent
"""
"""Returns the messages beside which the same was written for longer than the argument says."""


class VisibilityRenewal:
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

    def stop(self) -> None:
        """End that thread: the worker holds nothing any more."""
        self._ended.set()

    def _keep(self) -> None:
        while not self._ended.wait(self._lost_after / RENEWALS):
            try:
                self.run_once()
            except Exception as error:
                logger.warning("Held tasks are not looked after now: %r", error)

    def run_once(self) -> None:
        """Say once what is held here, and return once what was held by those who are lost."""
        with current_app.connection_for_write(transport_options=TIMEOUTS) as connection:
            channel = connection.default_channel
            self._renew(channel)
            for tag in self._silent(channel):
                logger.warning("The worker that held message %s is lost; it is queued again", tag)
                channel.qos.restore_by_tag(tag)

    def _renew(self, channel: Channel) -> None:
        now = time.monotonic()
        self._since = {tag: self._since.get(tag, now) for tag in self._held()}
        told = {
            tag: time.time() for tag, since in self._since.items() if now - since < self._longest
        }
        if told:
            # Only what is still there: a message may have been acknowledged at this moment.
            channel.client.zadd(channel.unacked_index_key, told, xx=True)

    def _silent(self, channel: Channel) -> list[str]:
        prefix = channel.global_keyprefix
        keys = [f"{prefix}{channel.unacked_index_key}", f"{prefix}held-tasks"]
        found: Any = redis.client().eval(_FIND_SILENT, len(keys), *keys, self._lost_after)
        return [tag.decode() for tag in found]

    def _held(self) -> list[str]:
        reader = self._consumer.task_consumer
        # It has no channel while the worker looks for its broker.
        return list(reader.channel.qos._delivered) if reader and reader.channel else []
