"""Let a Python process go wrong by ``CLOCK_SHIFT_SECONDS``: Python imports this when it starts."""

import datetime
import os

import time_machine

_shift = float(os.environ.get("CLOCK_SHIFT_SECONDS", "0"))
if _shift:
    _wrong = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=_shift)
    time_machine.travel(_wrong, tick=True).start()
