"""One child process of the supervisor: started in its own group, watched, logged, stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from deployment.local.signals import last_moment
from deployment.local.watchdog import SECONDS_TO_QUIT, Watchdog, signal_group

SECONDS_TO_STOP = 8.0
_POLL_SECONDS = 0.03
_TAIL_LINES = 30


class LocalServiceError(RuntimeError):
    """A local service or process could not be started, or ended too early."""


class ManagedProcess:
    """A child with a process group of its own and its whole output in one log file.

    ``run_as`` is the user and group id to which a supervisor running as root steps down for it.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str | Path],
        log_file: Path,
        watchdog: Watchdog,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        run_as: int | None = None,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log_file = log_file
        self._watchdog = watchdog
        self._environment = environment
        self._directory = directory
        self._stop_signal = stop_signal
        self._run_as = run_as
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process has been started and not stopped."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the process without waiting for anything.

        Raises LocalServiceError if the program cannot be executed.
        """
        step_down: dict[str, object] = {}
        if self._run_as is not None:
            step_down = {"user": self._run_as, "group": self._run_as, "extra_groups": []}
        with self.log_file.open("ab") as log:
            try:
                self._child = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if self._environment is None else dict(self._environment),
                    cwd=self._directory,
                    start_new_session=True,
                    **step_down,  # type: ignore[call-overload]
                )
            except OSError as error:
                message = f"{self.name} could not be started: {error}"
                raise LocalServiceError(message) from error
        self._watchdog.watch(self._child.pid)

    def exit_code(self) -> int | None:
        """Return the exit code of a process that has ended, None while it runs."""
        return self._child.poll() if self._child else None

    def has_logged(self, text: str) -> bool:
        """Return whether the process has written this text."""
        return text in self.log_file.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Wait until ``ready`` says yes.

        Raises LocalServiceError, with the tail of the log, if the process ends or ``timeout``
        seconds pass before.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if (code := self.exit_code()) is not None:
                raise LocalServiceError(self.describe_failure(f"ended with exit code {code}"))
            if time.monotonic() > deadline:
                problem = f"was not ready after {timeout:.0f} seconds"
                raise LocalServiceError(self.describe_failure(problem))
            time.sleep(_POLL_SECONDS)

    def wait_for_success(self, *, timeout: float) -> None:
        """Wait until the process has ended well.

        Raises LocalServiceError, with the tail of the log, on another exit code than 0 and when
        ``timeout`` seconds are over.
        """
        assert self._child is not None
        try:
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            problem = f"had not ended after {timeout:.0f} seconds"
            raise LocalServiceError(self.describe_failure(problem)) from None
        if code != 0:
            raise LocalServiceError(self.describe_failure(f"ended with exit code {code}"))

    def describe_failure(self, problem: str) -> str:
        """Say what went wrong, followed by the last lines that the process wrote."""
        lines = [f"{self.name} {problem}. Its last output:"]
        lines += [f"    {line}" for line in tail(self.log_file)] or ["    (none)"]
        return "\n".join(lines)

    def request_stop(self) -> None:
        """Ask the process to stop and do not wait for it."""
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(self._stop_signal)

    def stop(self, *, deadline: float | None = None) -> None:
        """Stop the process and everything that it started; kill what has not gone in time.

        ``deadline`` is on the clock of time.monotonic(); by default SECONDS_TO_STOP from now, and
        sooner after a signal.
        """
        if self._child is None:
            return
        self.request_stop()
        if deadline is None:
            deadline = time.monotonic() + SECONDS_TO_STOP
        deadline = min(deadline, last_moment())
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(max(deadline - time.monotonic(), 0.1))
        if self._child.poll() is None:
            # PostgreSQL's backends are groups of their own; at this they go with their server.
            signal_group(self._child.pid, signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(SECONDS_TO_QUIT)
        signal_group(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._watchdog.forget(self._child.pid)
        self._child = None


def stop_together(processes: Iterable[ManagedProcess]) -> None:
    """Stop processes in reverse order of their start, sharing one allowance of time."""
    last_first = list(processes)[::-1]
    for process in last_first:
        process.request_stop()
    deadline = time.monotonic() + SECONDS_TO_STOP
    for process in last_first:
        process.stop(deadline=deadline)


def tail(log_file: Path, lines: int = _TAIL_LINES) -> list[str]:
    """Return the last lines of a log file; none if there is no such file."""
    try:
        with log_file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(size - 200 * lines, 0))
            return log.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
