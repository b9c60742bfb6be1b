"""Mutated disks: always a valid result, in memory and time (spec 13 §2, acceptance 6)."""

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.inspector.isolation import inspect_isolated
from api.inspector.limits import Limits
from api.inspector.results import make_entry
from deployment.local.service import REPOSITORY
from tests.api.inspector import corpus, fuzzing
from tests.api.inspector.running import assert_valid

NAMES = (
    "rhel7-ext2",
    "rhel7-ext4",
    "rhel7-xfs",
    "rhel7-xfs-v4",
    "rhel7-gpt-lvm-striped-xfs",
    "rhel7-mbr-extended-ext4",
    "rhel9-gpt-xfs",
)
MUTATIONS = 1000
SECTOR = 512


def used_sectors(name):
    """Return where a disk holds anything: superblocks, inodes, directories, tables, headers."""
    data = corpus.content(name)
    empty = bytes(SECTOR)
    return [at for at in range(0, len(data), SECTOR) if data[at : at + SECTOR] != empty]


SECTORS = {name: used_sectors(name) for name in NAMES}


@st.composite
def disks(draw):
    name = draw(st.sampled_from(NAMES))
    changes = []
    for _ in range(draw(st.integers(1, 12))):
        place = draw(st.sampled_from(SECTORS[name])) + draw(st.integers(0, SECTOR - 1))
        text = draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8]),
            )
        )
        changes.append((place, text.hex()))
    return name, changes


class Reader:
    """The process that reads disks; a new one takes the place of one that died."""

    def __init__(self):
        self.deaths = []
        self._process = None

    def look(self, name, changes):
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.api.inspector.fuzzing"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._process.stdin.write(json.dumps([name, changes]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer:
            return json.loads(answer)
        self.close()
        self.deaths.append((name, changes))
        return None

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    yield reader
    reader.close()
    print(f"{len(reader.deaths)} disks killed the process that read them: {reader.deaths[:5]}")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(
    max_examples=MUTATIONS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(disk=disks())
def test_acceptance_06_a_thousand_mutated_disks(disk, reader):
    entry = reader.look(*disk)
    if entry is None:
        # What kills a process becomes an error text where processes may die.
        entry = isolated(*disk)
    assert_valid(entry)


def isolated(name, changes):
    report = inspect_isolated(fuzzing.Mutated(name, changes), "disk", Limits(seconds=30))
    return make_entry({"disk": report.partitions}, report.errors)
