"""What runs on this machine, and waiting for it to change."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deployment.local.service import REPOSITORY, Service


def descendants(pid: int) -> set[int]:
    """Return the ids of all processes below this one."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    children: dict[int, list[int]] = {}
    for line in listing.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


@contextlib.contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Let a process and those below it stand still: connections stay, nothing is answered.

    PostgreSQL has a process for each connection, whose group is not that of the first one.
    """
    stopped = signal_family(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        send_signal(stopped, signal.SIGCONT)


@contextlib.contextmanager
def away(service: Service) -> Iterator[None]:
    """Let a service be away for a while."""
    process = service.process
    assert process is not None
    process.stop()
    try:
        yield
    finally:
        process.start()
        service.wait_until_ready()


def signal_family(pid: int, number: signal.Signals) -> list[int]:
    """Send a signal to a process and to those below it; return their ids."""
    family = [pid, *descendants(pid)]
    send_signal(family, number)
    return family


def send_signal(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def is_running(pid: int) -> bool:
    """Return whether the process exists and is more than a zombie."""
    status = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True, check=False
    )
    return status.returncode == 0 and not status.stdout.strip().startswith("Z")


def command_of(pid: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    listing = subprocess.run(
        ["ps", "-ww", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False
    )
    return listing.stdout


def wait_for(condition: Callable[[], bool], *, seconds: float = 90) -> bool:
    """Wait until the condition holds; tell whether it did in the end."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def clean_environment(**variables: str) -> dict[str, str]:
    """Return an environment that configures no service, with these variables added."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables}


@contextlib.contextmanager
def supervisor(tmp_path: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``python -m deployment.local`` below ``tmp_path``; all that it starts is stopped."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deployment.local", *options],
        cwd=REPOSITORY,
        env=clean_environment(TMPDIR=str(tmp_path), **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
