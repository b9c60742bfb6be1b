"""Celery's application with a task that lasts for as long as a test wants."""

import os
import signal
import time
from pathlib import Path

from cloudigrade import celery_app as app
from util.tasks import LONG, RetryPolicy, TimeLimit, task

__all__ = ["DEADLY", "GREEDY", "SLOW", "STUBBORN", "Diary", "app"]

SLOW = "tests.slow"
STUBBORN = "tests.stubborn"
DEADLY = "tests.deadly"
GREEDY = "tests.greedy"


class Diary:
    """What slow tasks did, in a folder that they share with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def note(self, what: str, name: str) -> None:
        with (self.folder / "diary").open("a") as diary:
            diary.write(f"{what} {name} {os.getpid()}\n")

    def lines(self) -> list[list[str]]:
        diary = self.folder / "diary"
        return [line.split() for line in diary.read_text().splitlines()] if diary.exists() else []

    def count(self, what: str, name: str) -> int:
        return sum(line[:2] == [what, name] for line in self.lines())

    def release(self, name: str) -> None:
        """Let tasks of this name end."""
        (self.folder / f"end-{name}").touch()

    def is_released(self, name: str) -> bool:
        return (self.folder / f"end-{name}").exists()


@task(SLOW, limit=LONG)
def slow(folder: str, name: str) -> str:
    """Last until released."""
    diary = Diary(Path(folder))
    diary.note("begin", name)
    while not diary.is_released(name):
        time.sleep(0.02)
    diary.note("end", name)
    return name


@task(STUBBORN, limit=TimeLimit(soft=1, hard=120))
def stubborn(folder: str, name: str) -> str:
    """Last until released, or until the time limit, and take whatever happens for a failure."""
    diary = Diary(Path(folder))
    diary.note("begin", name)
    while not diary.is_released(name):
        try:
            time.sleep(0.02)
        except Exception:
            diary.note("swallow", name)
    return name


@task(DEADLY, retry=RetryPolicy(errors=(ConnectionError,), max_backoff=1))
def deadly(folder: str, name: str) -> str:
    """Kill the process, as the system does whose memory is used up, until released.

    What is called ``flaky`` fails in between, so that it is repeated.
    """
    diary = Diary(Path(folder))
    diary.note("begin", name)
    if diary.is_released(name):
        return name
    if name == "flaky" and diary.count("begin", name) == 2:
        raise ConnectionError
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@task(GREEDY)
def greedy(folder: str, name: str) -> None:
    """Ask for more memory than there is."""
    Diary(Path(folder)).note("begin", name)
    raise MemoryError
