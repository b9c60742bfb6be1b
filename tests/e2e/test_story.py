"""The main job end to end, as ``make demo ONCE=1`` plays and checks it."""

import re
import subprocess
import sys

import pytest

from deployment.local.service import REPOSITORY
from tests.deployment.processes import clean_environment

SECONDS = 280

DOUBTS = (
    # One number, down to the log records (spec 10 §1).
    r"\d at once from \S+Z:",
    r"  i-0acme\d+ since \S+Z, RHEL: cloud_access",
    r"    cloudtrail RunInstances \S+",
    r"    record \d+ of \S+\.json\.gz",
    # A withheld log file makes a day partial until the audit has found it (§2, §3.3).
    r"  \S+: 1 at once, partial: log_unprocessed from 13:45 to 14:00",
    r"  \S+: 2 at once, complete, after the audit queued it again",
    # A shutdown that no log told has error bars (§2, §3.1).
    r"  \S+: 2 at once, corrected: from 1 to 2",
    r"    i-0hooli\d+ was on at \S+Z, and off at \S+Z",
)
"""What the story shows of numbers that are doubted, in this order; it has checked it."""


@pytest.mark.e2e
def test_the_story_of_the_demo():
    story = subprocess.run(
        [sys.executable, "-m", "deployment.local.demo", "--once"],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert story.returncode == 0, story.stdout[-5000:] + story.stderr[-2000:]
    assert story.stdout.splitlines()[-1] == "demo: OK"
    lines = iter(story.stdout.splitlines())
    for doubt in DOUBTS:
        assert any(re.fullmatch(doubt, line) for line in lines), doubt
