"""The main job end to end, as ``make demo ONCE=1`` plays and checks it."""

import subprocess
import sys

import pytest

from deployment.local.service import REPOSITORY
from tests.deployment.processes import clean_environment

SECONDS = 280


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
