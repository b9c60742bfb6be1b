"""Leaving a service alone for a while that does not answer."""

import time


class Circuit:
    """Counts requests without an answer; after so many in a row the service is left alone.

    When that time is over it is asked again, and left alone again at the first silence. One for
    each process and service.
    """

    def __init__(self, *, silences: int, seconds: float) -> None:
        self._allowed = silences
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._silences = 0
        self._open_until = 0.0

    def is_open(self) -> bool:
        """Return whether the service is to be left alone now."""
        return time.monotonic() < self._open_until

    def count_answer(self) -> None:
        """The service has answered, whatever it said."""
        self._silences = 0

    def record_failure(self) -> None:
        """The service has not answered."""
        self._silences += 1
        if self._silences >= self._allowed:
            self._open_until = time.monotonic() + self._seconds
