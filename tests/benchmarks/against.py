"""Two revisions measured in turn in one run, so that a regression shows.

The other revision is checked out into a worktree of git that is removed at the end. Each
measurement is a process of its own that runs the revision's own benchmarks, with the packages that
are installed here. Which revision goes first changes from turn to turn, as what else the machine
does changes too.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

TURNS = 3
NOISE = 0.05
"""By how much both revisions may differ before a difference that all turns show is called one."""


class Key(NamedTuple):
    """What names an operation in both revisions."""

    suite: str
    name: str


Figures = Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """What an operation costs in both revisions; medians of all turns.

    Seconds are processor time of process and PostgreSQL, or of the wall (``is_wall``) where
    processes are measured whose processor time is not known. ``ratio`` is what this revision takes
    of the other's time, the median of the turns; ``least`` and ``most`` are the turns furthest
    from it.
    """

    suite: str
    name: str
    is_wall: bool
    other_s: float
    this_s: float
    ratio: float
    least: float
    most: float
    other_mib: float
    this_mib: float

    @property
    def verdict(self) -> str:
        """Say whether all turns agree that this revision is slower, or that it is faster."""
        if self.least > 1 + NOISE:
            return "slower"
        return "faster" if self.most < 1 - NOISE else ""


def measure_against(revision: str, arguments: Sequence[str], turns: int) -> list[Comparison]:
    """Run the benchmarks of a revision and of this checkout so many times each, and compare them.

    This checkout is measured as it is, with what is not committed. Raises CalledProcessError if
    git does not know the revision or a measurement does not come to its end.
    """
    pairs = []
    with worktree(revision) as other:
        for turn in range(turns):
            order = [other, Path.cwd()] if turn % 2 == 0 else [Path.cwd(), other]
            measured = {place: _measure(place, arguments) for place in order}
            pairs.append((measured[other], measured[Path.cwd()]))
    return compare(pairs)


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """Check a revision out beside this checkout; its folder is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cloudigrade-against-") as folder:
        place = Path(folder) / "worktree"
        _git("worktree", "add", "--detach", str(place), revision)
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, stdout=subprocess.DEVNULL)


def _measure(place: Path, arguments: Sequence[str]) -> Figures:
    print(f"\n=== {place}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "bench.json"
        command = [sys.executable, "-m", "tests.benchmarks", *arguments, "--output", str(output)]
        # The exit code says whether targets were missed, which is not what is asked here.
        subprocess.run(command, cwd=place, check=False)
        if not output.exists():
            raise subprocess.CalledProcessError(1, command)
        return {Key(row["suite"], row["name"]): row for row in json.loads(output.read_text())}


def compare(pairs: Sequence[tuple[Figures, Figures]]) -> list[Comparison]:
    """Compare the operations that all measurements have, given as (other, this) for each turn."""
    compared = []
    for key in pairs[0][1]:
        rows = [(other.get(key), this.get(key)) for other, this in pairs]
        complete = [(other, this) for other, this in rows if other and this]
        if len(complete) == len(pairs):
            compared.append(_compare(key, complete))
    return compared


def _compare(key: Key, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Comparison:
    is_wall = any(not _cpu(row) for pair in rows for row in pair)
    seconds = [
        (other["wall_s"], this["wall_s"]) if is_wall else (_cpu(other), _cpu(this))
        for other, this in rows
    ]
    ratios = [this / other if other else 1.0 for other, this in seconds]
    return Comparison(
        suite=key.suite,
        name=key.name,
        is_wall=is_wall,
        other_s=statistics.median(other for other, _ in seconds),
        this_s=statistics.median(this for _, this in seconds),
        ratio=statistics.median(ratios),
        least=min(ratios),
        most=max(ratios),
        other_mib=statistics.median(other["peak_rss_mib"] for other, _ in rows),
        this_mib=statistics.median(this["peak_rss_mib"] for _, this in rows),
    )


def _cpu(row: Mapping[str, Any]) -> float:
    """Return an operation's processor time; 0 if only the time of the wall was measured."""
    return row["cpu_s"] + (row["db_cpu_s"] or 0.0)


def show_comparisons(comparisons: Sequence[Comparison], revision: str) -> None:
    """Print a table of what both revisions cost."""
    heads = (f"{revision[:10]} s", "this s", "ratio", "spread", f"{revision[:10]} MiB", "this MiB")
    print(f"\n{'':<64}" + "".join(f"{head:>16}" for head in heads))
    for one in comparisons:
        cells = (
            f"{one.other_s:.4f}",
            f"{one.this_s:.4f}",
            f"{one.ratio:.2f}",
            f"{one.least:.2f} - {one.most:.2f}",
            f"{one.other_mib:,.0f}",
            f"{one.this_mib:,.0f}",
        )
        name = f"{one.name}{' (wall)' if one.is_wall else ''}"
        row = f"{name:<64}" + "".join(f"{cell:>16}" for cell in cells)
        print(f"{row}  {one.verdict}".rstrip())


def as_json(comparisons: Sequence[Comparison], revision: str) -> str:
    """Return the comparisons for build/bench.json."""
    rows = [{**asdict(one), "verdict": one.verdict} for one in comparisons]
    return json.dumps({"against": revision, "comparisons": rows}, indent=2) + "\n"
