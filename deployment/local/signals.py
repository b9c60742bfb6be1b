"""Ending in good order on Ctrl-C, on SIGTERM and when the terminal goes away."""

import math
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SECONDS_TO_CLEAN_UP = 2.0
"""After the first signal; what is left then is killed: nothing of a local environment is kept."""

_last_moment = math.inf


class Interrupted(BaseException):
    """Somebody asked this process to end; unwinds the stack like KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def raise_on_signals() -> None:
    """Turn the first signal that ends a process into Interrupted: the clean-up has some seconds.

    The second one ends this process at once, and then the watchdog cleans up.
    """

    def end_at_once(number: int, _frame: FrameType | None) -> NoReturn:
        os._exit(128 + number)

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        global _last_moment
        _last_moment = time.monotonic() + SECONDS_TO_CLEAN_UP
        for other in _ENDING:
            signal.signal(other, end_at_once)
        print("stopping ...", file=sys.stderr, flush=True)
        raise Interrupted(number)

    for number in _ENDING:
        signal.signal(number, interrupt)


def last_moment() -> float:
    """Return until when processes may end by themselves, on the clock of time.monotonic()."""
    return _last_moment
