"""Where results of tasks are kept."""

from typing import Any

from celery.backends.redis import RedisBackend, SentinelBackend


class _Unannounced:
    """Results that are looked up when they are wanted.

    Celery's own backend makes a process that queues a task listen for its result from then on:
    one more subscription with every task, for results that nobody here waits for.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do not subscribe."""


class Results(_Unannounced, RedisBackend):
    """Results in a Redis."""


class SentinelResults(_Unannounced, SentinelBackend):
    """Results in a Redis behind sentinels."""
