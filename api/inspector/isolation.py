"""Looking into a drive in a process of its own (``child``), which may crash, hang or be killed.

The parent serves the drive's bytes, keeps what it is told of each partition, and lets another
process go on behind a partition that was too much for the one before.
"""

import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from api.inspector.errors import InspectorError, LimitError, Notes, UnreadableError
from api.inspector.limits import MIB, Limits
from api.inspector.partition import PartitionResult, unread
from api.inspector.sources import ByteSource
from api.inspector.wire import ANSWER, DATA, LIMIT, MAX_REQUEST, UNREADABLE

_CHILD = "api.inspector.child"
_IMPORTS_FROM = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG")
"""Variables that Python may need. Nothing else gets in, credentials least of all."""

_MAX_CRASHES = 8
_MAX_LINE = 16 * MIB
_SHARE = 0.75
"""How much of what is left one partition may use: something must be left for the next."""


@dataclasses.dataclass
class DriveReport:
    """What was found on a drive: results by paths of partitions, and errors of the whole.

    ``bytes_read`` is what it took; ``memory`` is the most that the process took, in bytes.
    """

    partitions: dict[str, PartitionResult] = dataclasses.field(default_factory=dict)
    errors: list[str] = dataclasses.field(default_factory=list)
    bytes_read: int = 0
    memory: int = 0


class NotStartedError(RuntimeError):
    """The process could not even begin: that is no fault of the disk."""


class _ChildError(InspectorError):
    """The process ended, hung, or said something that was not expected."""


def inspect_isolated(source: ByteSource, path: str, limits: Limits) -> DriveReport:
    """Look into a drive; whatever is on it, this ends in time and with a report.

    Raises NotStartedError, and what the source raises besides InspectorError; nothing else.
    """
    return _Inspection(source, path, limits).run()


class _Inspection:
    def __init__(self, source: ByteSource, path: str, limits: Limits) -> None:
        self._source = source
        self._path = path
        self._limits = limits
        self._report = DriveReport()
        self._deadline = time.monotonic() + limits.seconds
        self._volume: str | None = None
        self._volume_deadline = self._deadline
        self._volume_bytes = limits.read_bytes

    def run(self) -> DriveReport:
        notes = Notes()
        for _ in range(_MAX_CRASHES):
            self._volume = None
            try:
                self._let_child_work()
                break
            except _ChildError as error:
                if self._volume is None:
                    notes.add(self._path, error)
                    break
                self._report.partitions[self._volume] = unread(None, error)
                if time.monotonic() >= self._deadline:
                    notes.add(self._path, "the time is up; what follows is not looked at")
                    break
        else:
            notes.add(self._path, "too many partitions failed; what follows is not looked at")
        self._report.errors += notes.texts()
        return self._report

    def _let_child_work(self) -> None:
        job = {
            "path": self._path,
            "size": self._source.size,
            "block_size": self._source.block_size,
            "skip": list(self._report.partitions),
            "memory_bytes": self._limits.memory_bytes,
            "seconds": max(1.0, self._deadline - time.monotonic()),
        }
        with _Child(job) as child:
            messages = child.messages(self._time_left)
            try:
                next(messages)
            except _ChildError as error:
                raise NotStartedError(str(error)) from error
            for message in messages:
                if "read" in message:
                    child.answer(*self._read(*message["read"]), self._time_left)
                elif "begin" in message:
                    self._begin(str(message["begin"]))
                elif "path" in message:
                    self._report.partitions[str(message["path"])] = message["result"]
                    self._volume = None
                elif "done" in message:
                    self._report.errors += message["errors"]
                    self._report.memory = message.get("memory", 0)
                    return

    def _time_left(self) -> float:
        deadline = self._deadline if self._volume is None else self._volume_deadline
        return deadline - time.monotonic()

    def _begin(self, volume: str) -> None:
        self._volume = volume
        now = time.monotonic()
        self._volume_deadline = now + (self._deadline - now) * _SHARE
        left = self._limits.read_bytes - self._report.bytes_read
        self._volume_bytes = self._report.bytes_read + int(left * _SHARE)

    def _read(self, offset: int, size: int) -> tuple[bytes, bytes]:
        """Return the kind and the bytes of an answer."""
        allowed = self._limits.read_bytes if self._volume is None else self._volume_bytes
        try:
            if not 0 <= size <= MAX_REQUEST or offset < 0:
                raise UnreadableError(f"cannot read {size} bytes at {offset}")
            if self._report.bytes_read + size > allowed:
                raise LimitError(f"more than {allowed} bytes were read")
            data = self._source.read(offset, size)
        except InspectorError as error:
            kind = LIMIT if isinstance(error, LimitError) else UNREADABLE
            return kind, str(error).encode()
        self._report.bytes_read += len(data)
        return DATA, data


class _Child:
    """The process, and the lines that it writes."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="cloudigrade-inspection-")
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_IMPORTS_FROM,
                env={**environment, "TMPDIR": self._folder, "MALLOC_ARENA_MAX": "2"},
            )
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def messages(self, time_left: Any) -> Iterator[dict[str, Any]]:
        """Yield what the process says. Raises _ChildError if it ends, hangs, or talks nonsense."""
        job = {**self._job, "folder": self._folder}
        self._write(json.dumps(job).encode() + b"\n", time_left)
        text = bytearray()
        while True:
            *lines, rest = text.split(b"\n") if b"\n" in text else (text,)
            for line in lines:
                yield _parsed(bytes(line))
            text = bytearray(rest)
            if len(text) > _MAX_LINE:
                raise _ChildError("the process that reads it said too much")
            self._wait([self._output], [], time_left())
            data = os.read(self._output, MIB)
            if not data:
                raise _ChildError(self._end())
            text += data

    def answer(self, kind: bytes, data: bytes, time_left: Any) -> None:
        """Answer a request."""
        self._write(ANSWER.pack(kind, len(data)) + data, time_left)

    def _write(self, data: bytes, time_left: Any) -> None:
        view = memoryview(data)
        while view:
            self._wait([], [self._input], time_left())
            try:
                view = view[os.write(self._input, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise _ChildError(self._end()) from None

    @staticmethod
    def _wait(readers: list[int], writers: list[int], seconds: float) -> None:
        if seconds <= 0 or not any(select.select(readers, writers, [], seconds)):
            raise _ChildError("it takes too long")

    def _end(self) -> str:
        """Say how the process ended."""
        self._process.kill()
        code = self._process.wait()
        if code >= 0:
            return f"the process that reads it ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return f"the process that reads it was ended by {name}"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
        result = message.get("result", {"facts": {}})
        if isinstance(result["facts"], dict):
            return dict(message)
    except (ValueError, AttributeError, TypeError, KeyError):
        pass
    raise _ChildError("the process that reads it talks nonsense")
