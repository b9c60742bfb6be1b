"""Whatever a disk does to the process that reads it: a result, in time (spec 13 §2)."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from api.inspector import isolation
from api.inspector.errors import UnreadableError
from api.inspector.isolation import NotStartedError, inspect_isolated
from api.inspector.limits import MIB, Limits
from api.inspector.sources import FileSource
from deployment.local.service import REPOSITORY
from tests.api.inspector import corpus
from tests.deployment.processes import wait_for

pytestmark = pytest.mark.slow


class Zeros:
    """A drive that holds nothing."""

    size = 8 * MIB
    block_size = MIB

    def read(self, offset, size):
        return bytes(max(0, min(size, self.size - offset)))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def misbehaving(monkeypatch, scratch):
    monkeypatch.setattr(isolation, "_CHILD", "tests.api.inspector.misbehaving")


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("crash", "was ended by SIGSEGV"),
        ("exit", "ended with exit code 3"),
        ("nonsense", "talks nonsense"),
        ("flood", "said too much"),
    ],
)
def test_a_partition_that_kills_its_reader_hides_no_other(how, error, misbehaving, scratch):
    report = inspect_isolated(Zeros(), how, Limits(seconds=240))
    assert error in report.partitions[f"{how}2"]["error"]
    assert "error" not in report.partitions[f"{how}1"]
    assert "error" not in report.partitions[f"{how}3"]
    assert report.errors == []
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("how", ["hang", "spin", "deaf"])
def test_a_partition_that_takes_for_ever_ends_in_time(how, misbehaving, scratch):
    report = inspect_isolated(Zeros(), how, Limits(seconds=8))
    assert "takes too long" in report.partitions[f"{how}2"]["error"]
    # A quarter of the time was left for it.
    assert "error" not in report.partitions[f"{how}3"]
    assert list(scratch.iterdir()) == []


def test_a_partition_that_reads_too_much_is_told_so(misbehaving):
    report = inspect_isolated(Zeros(), "greedy", Limits(seconds=4, read_bytes=10 * MIB))
    assert report.bytes_read <= 10 * MIB
    assert "takes too long" in report.partitions["greedy2"]["error"]


def test_a_reader_that_cannot_even_start_is_no_fault_of_the_disk(misbehaving, scratch):
    with pytest.raises(NotStartedError, match="exit code 1"):
        inspect_isolated(Zeros(), "stillborn", Limits(seconds=240))
    assert list(scratch.iterdir()) == []


def test_too_much_memory_ends_the_partition_only(tmp_path):
    """One MB is less than Python itself has taken: what is asked for next is refused."""
    with FileSource(corpus.unpack("rhel7-xfs", tmp_path)) as source:
        report = inspect_isolated(source, "disk", Limits(seconds=240, memory_bytes=MIB))
    told = [*report.errors, *(one.get("error", "") for one in report.partitions.values())]
    assert any(told)


class Broken(Zeros):
    """A drive whose blocks cannot be read."""

    def read(self, offset, size):
        raise UnreadableError("a block has a wrong checksum")


def test_a_drive_that_cannot_be_read_at_all():
    report = inspect_isolated(Broken(), "disk", Limits(seconds=240))
    assert report.partitions["disk"]["error"] == "a block has a wrong checksum"


class Lost(Zeros):
    """A drive that is suddenly gone, for a reason of its own."""

    def read(self, offset, size):
        raise ConnectionError("gone")


def test_what_a_source_raises_of_its_own_passes_through(scratch):
    with pytest.raises(ConnectionError):
        inspect_isolated(Lost(), "disk", Limits(seconds=240))
    assert list(scratch.iterdir()) == []


def test_the_child_knows_no_secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    seen = {}
    real = subprocess.Popen

    def popen(*arguments, **options):
        seen.update(options["env"])
        return real(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    inspect_isolated(Zeros(), "disk", Limits(seconds=240))
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert set(seen) <= {*isolation._PASSED_ON, "TMPDIR", "MALLOC_ARENA_MAX"}


def test_a_parent_that_is_killed_leaves_nothing_behind(tmp_path):
    """The child ends by itself, and takes its temporary files with it."""
    image = corpus.unpack("rhel9-gpt-xfs", tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = (
        "import sys, os, time\n"
        "from api.inspector.isolation import inspect_isolated\n"
        "from api.inspector.limits import Limits\n"
        "from api.inspector.sources import FileSource\n"
        "class Slow(FileSource):\n"
        "    def read(self, offset, size):\n"
        "        if offset > 2 ** 20:\n"
        "            print('reading', flush=True)\n"
        "            time.sleep(600)\n"
        "        return super().read(offset, size)\n"
        f"inspect_isolated(Slow({str(image)!r}), 'disk', Limits())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout.readline() == b"reading\n"
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not Path(f"/proc/{child}/exe").exists())
    assert wait_for(lambda: list(Path(scratch).iterdir()) == [])
