"""The process that looks into one drive: ``python -m api.inspector.child``.

It has no access to the drive, and no credentials: it asks its parent for bytes, by lines of JSON on
its output, and tells it there what it found. So whatever a hostile disk does to the libraries that
read it stays in here. See ``isolation`` for the other end.
"""

import contextlib
import json
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from api.inspector.drive import inspect_drive
from api.inspector.errors import InspectorError, LimitError, Notes, UnreadableError
from api.inspector.libyal import TROUBLE
from api.inspector.limits import KIB, MIB
from api.inspector.sources import Cached
from api.inspector.wire import ANSWER, DATA, LIMIT, MAX_REQUEST

_CACHE_BYTES = 32 * MIB


class ParentSource:
    """The drive, as far as the parent gives it to us. See ``sources.ByteSource``."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO, *, size: int, block_size: int):
        self.size = size
        self.block_size = block_size
        self._requests = requests
        self._answers = answers

    def read(self, offset: int, size: int) -> bytes:
        """Return these bytes; see ``sources.ByteSource``."""
        size = min(size, self.size - offset)
        parts = []
        while size > 0:
            part = self._ask(offset, min(size, MAX_REQUEST))
            if not part:
                break
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _ask(self, offset: int, size: int) -> bytes:
        tell(self._requests, {"read": [offset, size]})
        head = self._answers.read(ANSWER.size)
        if len(head) < ANSWER.size:
            # Nobody is there who would want to know.
            raise SystemExit(1)
        kind, length = ANSWER.unpack(head)
        data = self._answers.read(length)
        if kind == DATA:
            return data
        error = LimitError if kind == LIMIT else UnreadableError
        raise error(data.decode("utf-8", "replace"))


def tell(output: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message as one line."""
    output.write(json.dumps(message).encode() + b"\n")
    output.flush()


def main() -> None:
    """Do the job that the first line of the input describes."""
    answers, requests = sys.stdin.buffer, sys.stdout.buffer
    job = json.loads(answers.readline())
    _limit(memory=job["memory_bytes"], seconds=job["seconds"])
    source = ParentSource(requests, answers, size=job["size"], block_size=job["block_size"])
    cached = Cached(source, blocks=max(8, _CACHE_BYTES // job["block_size"]))
    notes = Notes()
    tell(requests, {"started": True})
    try:
        for path, result in inspect_drive(
            cached,
            job["path"],
            notes=notes,
            begin=lambda path: tell(requests, {"begin": path}),
            skip=frozenset(job["skip"]),
        ):
            tell(requests, {"path": path, "result": result})
    except (InspectorError, *TROUBLE) as error:
        notes.add(job["path"], error)
    finally:
        # Only if the parent has died, nobody else does it.
        with contextlib.suppress(OSError):
            Path(job["folder"]).rmdir()
    tell(requests, {"done": True, "errors": notes.texts(), "memory": _peak_memory()})


def _limit(*, memory: int, seconds: float) -> None:
    """Bound memory, and the time of a process whose parent has died."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak_memory() -> int:
    """Return the most that this process took, in bytes; 0 where that cannot be told.

    What ``getrusage`` says has the parent's memory in it.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/self/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) * KIB
    return 0


if __name__ == "__main__":
    main()
