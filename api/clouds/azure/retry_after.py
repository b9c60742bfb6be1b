"""How long an answer asks us to wait before we ask again. Pure."""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 20
"""A longer wait than this, if Azure asks for it, is left to the task, which comes back later."""

_FOR_EVER_SECONDS = 1e15
"""What stands for a number that is beyond all reckoning."""

_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` or one of Azure's own headers asks for.

    A date counts from the answer's own ``Date``, so that our clock does not matter. None if
    nothing is asked for, or nothing that can be read.
    """
    named = {name.lower(): value for name, value in headers.items()}
    if text := named.get("retry-after"):
        return _seconds(text) if _seconds(text) is not None else _until(text, named.get("date"))
    for name in _MILLISECONDS:
        if text := named.get(name):
            milliseconds = _seconds(text)
            return None if milliseconds is None else milliseconds / 1000
    return None


def is_long(seconds: float | None) -> bool:
    """Check whether a wait is one for the task, and not for the request."""
    return seconds is not None and seconds > LONGEST_WAIT_SECONDS


def _seconds(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if text.strip().isdigit():
        return min(number, _FOR_EVER_SECONDS)
    return max(number, 0.0) if math.isfinite(number) else None


def _until(text: str, answered_at: str | None) -> float | None:
    if not answered_at:
        return None
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(answered_at)
    except (ValueError, TypeError):
        return None
    return max(wait.total_seconds(), 0.0)
