"""Memory and open files of the product's processes over time, and whether they grow."""

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.deployment.processes import descendants
from tests.soak.pods import Pods

WARM_UP = 60.0
"""Seconds of a process's life that tell nothing: it imports, and opens what it needs."""

SAMPLES = 100
"""Fewer than these tell nothing either: what a worker needs it loads with its first tasks."""

MEMORY_MIB = 24.0
FILES = 12
"""What a process may have more of in the last quarter of its life than in its first."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """What a process and its children held, ``at`` seconds of the soak."""

    at: float
    memory_mib: float
    files: int
    sockets: int


@dataclass
class Life:
    """One process from its start to its end."""

    name: str
    begin: float
    samples: list[Sample] = field(default_factory=list)

    @property
    def told(self) -> list[Sample]:
        return [one for one in self.samples if one.at - self.begin >= WARM_UP]


class Growth:
    """Looks at all processes now and then."""

    def __init__(self) -> None:
        self._lives: dict[int, Life] = {}

    def look(self, pods: Pods, at: float) -> None:
        """Take a sample of each process."""
        for slot in pods.slots.values():
            pid = slot.pid
            if pid is not None:
                life = self._lives.setdefault(pid, Life(slot.name, at))
                with suppress(OSError):
                    life.samples.append(_sample(pid, at))

    def longest(self) -> dict[str, Life]:
        """Return the process of each place that lived longest."""
        found: dict[str, Life] = {}
        for life in self._lives.values():
            if len(life.told) > len(found[life.name].told if life.name in found else ()):
                found[life.name] = life
        return {name: life for name, life in found.items() if len(life.told) >= SAMPLES}

    def report(self) -> dict[str, dict[str, float]]:
        """Return, for each place, what it held early and late in its longest life."""
        return {name: summary(life.told) for name, life in sorted(self.longest().items())}

    def problems(self) -> list[str]:
        """Name what grew."""
        return [
            f"{name} grew: {found}"
            for name, found in self.report().items()
            if found["memory_mib_late"] - found["memory_mib_early"] > MEMORY_MIB
            or found["files_late"] - found["files_early"] > FILES
        ]


def summary(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the medians of the first and of the last quarter."""
    quarter = max(1, len(samples) // 4)
    parts = {"early": samples[:quarter], "late": samples[-quarter:]}
    found: dict[str, float] = {"seconds": round(samples[-1].at - samples[0].at)}
    for when, part in parts.items():
        found[f"memory_mib_{when}"] = round(median(one.memory_mib for one in part), 1)
        found[f"files_{when}"] = median(one.files for one in part)
        found[f"sockets_{when}"] = median(one.sockets for one in part)
    return found


def _sample(pid: int, at: float) -> Sample:
    held: dict[str, float] = defaultdict(float)
    for member in [pid, *descendants(pid)]:
        folder = Path("/proc", str(member))
        held["memory"] += int((folder / "statm").read_text().split()[1]) * _PAGE / _MIB
        for file in (folder / "fd").iterdir():
            with suppress(OSError):
                held["sockets"] += file.readlink().name.startswith("socket:")
                held["files"] += 1
    return Sample(at, held["memory"], int(held["files"]), int(held["sockets"]))
