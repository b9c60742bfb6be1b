"""Nothing outlives the supervisor, however it ends: even ``kill -9`` leaves no process or file.

A second, tiny process holds the reading end of a pipe. The supervisor tells it what exists; when
the pipe breaks it stops the process groups and removes the folders that are still on its list.
This also catches grandchildren and works on every Unix, which the parent-death signal of Linux
does not. It runs this very file as a script and therefore uses the standard library only.
"""

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_SECONDS_TO_STOP = 4.0
SECONDS_TO_QUIT = 1.0
"""For what did not stop when it was asked to, and is told to go at once."""


class Watchdog:
    """The supervisor's end: tell it what to watch, and close it when all processes are gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def watch(self, process_group: int) -> None:
        """Stop this process group if the supervisor dies."""
        self._tell("watch", process_group)

    def forget(self, process_group: int) -> None:
        """The process group has ended in the regular way."""
        self._tell("forget", process_group)

    def remove(self, folder: Path) -> None:
        """Remove this folder when the supervisor closes the watchdog, or dies."""
        self._tell("remove", folder)

    def close(self, *, until: float = math.inf) -> None:
        """End the watchdog, and with it whatever is still on its list.

        It is waited for until a moment on the clock of time.monotonic(): a busy disk may take
        seconds to remove a folder, and that goes on without us.
        """
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        left = None if until == math.inf else max(until - time.monotonic(), 0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(left)
        self._process = None

    def _tell(self, verb: str, subject: object) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                text=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {subject}\n")
        self._process.stdin.flush()


def signal_group(process_group: int, number: int) -> bool:
    """Send a signal to a process group; false if no process of it is left."""
    try:
        os.killpg(process_group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # What is left of the group are zombies of another user: nothing to stop.
        return False
    return True


def _stop_groups(groups: set[int]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_STOP
    remaining = {group for group in groups if signal_group(group, signal.SIGTERM)}
    remaining = _wait_for(remaining, deadline)
    # PostgreSQL's backends are groups of their own, and one that is busy does not notice that its
    # server was killed. At SIGQUIT the server takes them with it.
    remaining = {group for group in remaining if signal_group(group, signal.SIGQUIT)}
    for group in _wait_for(remaining, time.monotonic() + SECONDS_TO_QUIT):
        signal_group(group, signal.SIGKILL)


def _wait_for(groups: set[int], deadline: float) -> set[int]:
    """Wait until process groups have ended; return those that have not in time."""
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = {group for group in groups if signal_group(group, 0)}
    return groups


def _serve() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        verb, _, subject = line.rstrip("\n").partition(" ")
        if verb == "watch":
            groups.add(int(subject))
        elif verb == "forget":
            groups.discard(int(subject))
        elif verb == "remove":
            folders.append(subject)
    _stop_groups(groups)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _serve()
