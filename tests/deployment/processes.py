"""What runs on this machine, and waiting for it to change."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deployment.local.service import REPOSITORY


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
    stopped = [pid, *descendants(pid)]
    for member in stopped:
        os.kill(member, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGCONT)


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


def wait_for(condition: Callable[[], bool], *, seconds: float = 30) -> bool:
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
