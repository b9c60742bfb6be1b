"""Celery's application with a task that lasts for as long as a test wants."""

import os
import time
from pathlib import Path

from cloudigrade import celery_app as app
from util.tasks import LONG, TimeLimit, task

__all__ = ["SLOW", "STUBBORN", "Diary", "app"]

SLOW = "tests.slow"
STUBBORN = "tests.stubborn"


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
