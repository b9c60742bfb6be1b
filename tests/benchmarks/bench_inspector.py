"""Looking into disks: the limits of spec 13 §4."""

import resource
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from api.inspector.isolation import inspect_isolated
from api.inspector.limits import Limits
from api.inspector.results import make_entry
from api.inspector.sources import FileSource
from tests.benchmarks.measure import Cost
from tests.benchmarks.suite import Operation, Suite
from tests.generators import disks, rpmdb, systems
from tests.generators.disks import MIB

ROOT = 10 * 1024 * MIB
PACKAGES = 600
HEADER = 56_000
"""Bytes of a header, so that 600 of them take more than 30 MB."""

OTHER_FILES = 20_000
LIMIT = {"cpu_s": 30.0, "peak_rss_mib": 200.0, "read_mib": 300.0}
TYPICAL = {"cpu_s": 5.0, "peak_rss_mib": 200.0, "read_mib": 60.0}

KIB = 1024
BLOCK = 512 * KIB


class InBlocks(FileSource):
    """A disk file that is read as a snapshot is: by blocks of half a MiB."""

    block_size = BLOCK


class Inspector(Suite):
    """A drive's process, as a worker starts it, on disks that mkfs.xfs has made."""

    title = "looking into disks"

    def load(self) -> None:
        """Make the disks."""
        self.folder = Path(tempfile.mkdtemp(prefix="bench-inspector-"))
        self.disks: dict[str, Path] = {}
        if not disks.can_make("xfs"):
            print("mkfs.xfs of xfsprogs is not here: nothing to measure")
            return
        headers = [
            rpmdb.header(one) for one in rpmdb.packages(PACKAGES, rpmdb.RED_HAT, size=HEADER)
        ]
        small = [rpmdb.header(one) for one in rpmdb.packages(PACKAGES, rpmdb.RED_HAT, size=20_000)]
        self._make("RHEL 9", headers, ROOT)
        self._make("RHEL 7", headers, ROOT)
        self._make("typical", small, ROOT)

    def _make(self, name: str, headers: list[bytes], size: int) -> None:
        tree = self.folder / f"tree of {name}".replace(" ", "-")
        (systems.rhel_7 if name == "RHEL 7" else systems.rhel_9)(tree)
        if name == "RHEL 7":
            (tree / "var/lib/rpm/Packages").write_bytes(rpmdb.berkeley(headers))
        else:
            database = tree / "usr/lib/sysimage/rpm/rpmdb.sqlite"
            for path in database.parent.iterdir():
                path.unlink()
            rpmdb.write_sqlite(database, headers)
        for number in range(OTHER_FILES):
            path = tree / f"usr/share/{number % 200}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        image = self.folder / f"{name}.img".replace(" ", "-")
        disks.make_file_system("xfs", tree, image, size=size)
        shutil.rmtree(tree)
        self.disks[name] = image

    def operations(self) -> list[Operation]:
        """Return the two large forms with the limits of the specification, and a typical disk."""
        forms = [
            ("RHEL 9", "10 GiB, 600 packages in SQLite of 33 MB", LIMIT),
            ("RHEL 7", "10 GiB, 600 packages in Berkeley DB of 35 MB", LIMIT),
            ("typical", "10 GiB, 600 packages in SQLite of 12 MB", TYPICAL),
        ]
        return [
            Operation(title, partial(self.look, name), target=target)
            for name, title, target in forms
        ]

    def look(self, name: str) -> Cost:
        """Look into a disk; the cost is that of both processes, the memory the child's."""
        if name not in self.disks:
            return Cost(wall_s=1e-9)
        before = _cpu()
        began = time.perf_counter()
        with InBlocks(self.disks[name]) as source:
            report = inspect_isolated(source, "disk", Limits())
        cost = Cost(wall_s=time.perf_counter() - began, cpu_s=_cpu() - before)
        cost.read_mib = report.bytes_read / MIB
        cost.peak_rss_mib = report.memory / MIB
        entry = make_entry({"disk": report.partitions}, report.errors)
        assert (entry["package_count"], entry["errors"]) == (PACKAGES, [])
        return cost

    def unload(self) -> None:
        """Remove the disks."""
        shutil.rmtree(self.folder)


def _cpu() -> float:
    """Return the processor time of this process and of those that it waited for."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
