"""The product's Celery application with one more task, which does nothing but take time."""

import time

from cloudigrade.celery import app
from util.redis import client

WAITED = "tests-waited"
"""The list in Redis of how long each task waited."""

NAME = "tests.sleep"


@app.task(name=NAME, ignore_result=True)
def sleep(due_at: float, queue: str, seconds: float) -> None:
    """Note how long the task waited since it was due, and be busy for some seconds."""
    waited = time.time() - due_at
    client().rpush(WAITED, f"{queue} {waited:.3f}")
    time.sleep(seconds)
