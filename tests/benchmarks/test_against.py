"""Two revisions measured in turn (item 6 of the benchmarks), with a fake benchmark."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.against import (
    Key,
    as_json,
    compare,
    measure_against,
    show_comparisons,
    worktree,
)

# Takes as long as the file "seconds" of its own checkout says, and misses a target.
FAKE = """
import json, pathlib, sys
output = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
with open({log!r}, "a") as log:
    log.write(pathlib.Path("seconds").read_text() + " " + " ".join(sys.argv[1:-2]) + chr(10))
seconds = float(pathlib.Path("seconds").read_text())
output.write_text(json.dumps([dict(suite="fake", name="sleep", wall_s=9.0, cpu_s=seconds,
                                   db_cpu_s=0.5, peak_rss_mib=10.0)]))
sys.exit(1)
"""


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A repository of two revisions with a fake benchmark; gives the file with what was run."""
    log = tmp_path / "log"
    repository = tmp_path / "repository"
    package = repository / "tests" / "benchmarks"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(FAKE.format(log=str(log)))
    monkeypatch.chdir(repository)
    run("init", "--quiet")
    (repository / "seconds").write_text("1.5")
    run("add", ".")
    run("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "first")
    (repository / "seconds").write_text("0.5")
    return log


def run(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def test_both_revisions_are_measured_in_turn(log, capfd):
    """Each goes first in every other turn, with the arguments that were given."""
    (one,) = measure_against("HEAD", ["fake", "--rounds", "2"], 3)
    assert log.read_text().splitlines() == [
        f"{seconds} fake --rounds 2" for seconds in ("1.5", "0.5", "0.5", "1.5", "1.5", "0.5")
    ]
    assert (one.other_s, one.this_s, one.ratio, one.verdict) == (2.0, 1.0, 0.5, "faster")
    show_comparisons([one], "HEAD")
    assert capfd.readouterr().out.splitlines()[-1].split() == [
        *("sleep", "2.0000", "1.0000", "0.50", "0.50", "-", "0.50", "10", "10", "faster")
    ]


def test_the_worktree_is_gone_afterwards(log):
    """Also when something fails in it."""
    places = []
    with pytest.raises(ZeroDivisionError):
        fail_in_worktree(places)
    (place,) = places
    assert not place.exists()
    assert len(run("worktree", "list").splitlines()) == 1
    assert Path("seconds").read_text() == "0.5"


def test_a_benchmark_that_breaks_is_an_error(log):
    """A revision whose benchmarks do not come to their end is not compared."""
    Path("seconds").write_text("no number")
    with pytest.raises(subprocess.CalledProcessError, match=sys.executable):
        measure_against("HEAD", [], 1)


def fail_in_worktree(places):
    with worktree("HEAD") as place:
        places.append(place)
        assert (place / "seconds").read_text() == "1.5"
        raise ZeroDivisionError


def row(cpu, *, wall=1.0, db=None, mib=100.0):
    return {"cpu_s": cpu, "db_cpu_s": db, "wall_s": wall, "peak_rss_mib": mib}


def test_spread_and_verdict():
    """A revision is slower only if every turn says so; the median is shown with the extremes."""
    key, other_key = Key("s", "a"), Key("s", "b")
    turns = [
        ({key: row(1.0), other_key: row(1.0)}, {key: row(this), other_key: row(other)})
        for this, other in ((1.1, 0.9), (1.3, 1.1), (1.2, 1.2))
    ]
    slower, unclear = compare(turns)
    assert (slower.ratio, slower.least, slower.most) == (1.2, 1.1, 1.3)
    assert slower.verdict == "slower"
    assert unclear.verdict == ""
    assert json.loads(as_json([slower], "REV"))["comparisons"][0]["verdict"] == "slower"


def test_what_only_one_revision_has_is_left_out():
    """An operation is compared only if both revisions have it."""
    both, new = Key("s", "both"), Key("s", "new")
    (one,) = compare([({both: row(1.0)}, {both: row(1.0), new: row(1.0)})])
    assert one.name == "both"


def test_time_of_the_wall_stands_in():
    """Where the processor time is that of other processes, the time of the wall is compared."""
    key = Key("s", "messages")
    (one,) = compare([({key: row(0.0, wall=4.0)}, {key: row(0.0, wall=2.0)})])
    assert one.is_wall
    assert one.ratio == 0.5
