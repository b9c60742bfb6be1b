"""How much memory an operation takes, measured in a process of its own."""

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from django.db import connections

_PATIENCE_SECONDS = 600
_KIB_PER_MIB = 1024


def growth(work: Callable[[], Any]) -> float:
    """Return by how many MiB a process grows at most while it works.

    The function runs in a fork of this process, with a database connection of its own; what it is
    to see has to be committed. Raises RuntimeError if it raises, TimeoutError if it does not end.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    connections.close_all()
    process = context.Process(target=_measure, args=(work, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(_PATIENCE_SECONDS):
            raise TimeoutError("the process does not end")
        answer = ours.recv()
    finally:
        process.kill()
        process.join()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return answer


def _measure(work: Callable[[], Any], answer: Connection) -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before, of_files = _status("VmRSS"), _status("RssFile")
        work()
        # The kernel takes pages of files away and gives them back as it likes: they are no growth.
        read_again = max(0, _status("RssFile") - of_files)
        answer.send((_status("VmHWM") - before - read_again) / _KIB_PER_MIB)
    except BaseException:
        answer.send(traceback.format_exc())
    finally:
        connections.close_all()


def _status(name: str) -> int:
    """Return a line of the kernel's figures of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
