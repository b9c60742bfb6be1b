"""Where results of tasks are kept, and how large they may be (decisions 38 and 43)."""

import logging
from typing import Any

from celery.backends.redis import RedisBackend, SentinelBackend

logger = logging.getLogger(__name__)

LARGEST = 1_000_000
"""Bytes of a result in Redis, where each is kept for a day."""

LONGEST_TEXT = 2000
"""Characters of an error's message and traceback, where there were too many."""


class _Bounded:
    """Results that are left out where they are too large; that a task ended, and how, stays."""

    def encode(self, data: Any) -> Any:
        """Return what is stored of a result."""
        payload = super().encode(data)  # type: ignore[misc]
        if len(payload) <= LARGEST or not isinstance(data, dict):
            return payload
        logger.warning(
            "The result of task %s has %s bytes and is left out", data.get("task_id"), len(payload)
        )
        return super().encode(_without_bulk(data, len(payload)))  # type: ignore[misc]


def _without_bulk(data: dict[str, Any], size: int) -> dict[str, Any]:
    result, traceback = data.get("result"), data.get("traceback")
    if isinstance(result, dict) and "exc_type" in result:
        result = result | {"exc_message": [str(result.get("exc_message"))[:LONGEST_TEXT]]}
    else:
        result = f"left out: {size} bytes"
    shortened = {"result": result, "traceback": traceback and str(traceback)[-LONGEST_TEXT:]}
    return {key: value for key, value in data.items() if key != "children"} | shortened


class _Unannounced:
    """Results that are looked up when they are wanted.

    Celery's own backend makes a process that queues a task listen for its result from then on:
    one more subscription with every task, for results that nobody here waits for.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do not subscribe."""


class Results(_Bounded, _Unannounced, RedisBackend):
    """Results in a Redis."""


class SentinelResults(_Bounded, _Unannounced, SentinelBackend):
    """Results in a Redis behind sentinels."""
