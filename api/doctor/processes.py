"""Checks processes of which there is one, and clocks (spec 12 §3)."""

import time
from collections.abc import Callable, Iterator

from api.doctor.findings import Finding, span
from util import clock, postgres, redis
from util.heartbeat import seconds_of_silence
from util.migrations import pending_migrations

SCHEDULER_SILENCE = 180
LISTENER_SILENCE = 60
CLOCK_DIFFERENCE = 5
"""Seconds; what is more is told."""


def scheduler() -> Iterator[Finding]:
    """Report a scheduler that was not heard of for three minutes."""
    yield from _silent("beat", "The scheduler", SCHEDULER_SILENCE, "CloudigradeSchedulerIsSilent")


def listener() -> Iterator[Finding]:
    """Report a listener that was not heard of for a minute."""
    yield from _silent("listener", "The listener", LISTENER_SILENCE, "CloudigradeListenerIsDown")


def _silent(name: str, title: str, most: float, runbook: str) -> Iterator[Finding]:
    silence = seconds_of_silence(name)
    if silence is None:
        yield Finding(f"{title} was never heard of.", runbook)
    elif silence > most:
        yield Finding(f"{title} was not heard of for {span(silence)}.", runbook)


def clocks() -> Iterator[Finding]:
    """Compare the clocks of PostgreSQL, Redis and this process; 5 seconds are too much.

    Each store is asked between two looks at our own clock, so that a slow answer is no difference.
    """
    ahead = {"this process": 0.0}
    ahead["PostgreSQL"] = _seconds_ahead(lambda: postgres.now().timestamp())
    ahead["Redis"] = _seconds_ahead(_redis_now)
    first, last = min(ahead, key=ahead.__getitem__), max(ahead, key=ahead.__getitem__)
    difference = ahead[last] - ahead[first]
    if difference > CLOCK_DIFFERENCE:
        yield Finding(
            f"The clock of {last} is {span(difference)} ahead of that of {first}.", "Clocks"
        )


def _redis_now() -> float:
    seconds, microseconds = redis.client().time()
    return seconds + microseconds / 1e6


def _seconds_ahead(ask: Callable[[], float]) -> float:
    """Return by how much a clock is surely ahead of ours (behind it, if negative)."""
    stopwatch, before = time.monotonic(), clock.now().timestamp()
    told = ask()
    after = before + time.monotonic() - stopwatch
    return told - after if told > after else min(told - before, 0.0)


def migrations() -> Iterator[Finding]:
    """Report migrations that are pending."""
    if pending := pending_migrations():
        yield Finding(f"{pending} migrations are pending.", "Deploying")
